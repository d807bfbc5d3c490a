/* The status of a server. See status.h. */
#include "status.h"
#include "../../common/json.h"
#include "page.h"

#include <stdlib.h>
#include <string.h>

static void put_counters(prog_json *j, const dxup_metrics *all)
{
    const dxup_metrics now = dxup_metrics_now(all), *m = &now;
    prog_json_number(j, "unchanged", m->pulls[0]);
    prog_json_number(j, "patched", m->pulls[1]);
    prog_json_number(j, "full", m->pulls[2]);
    prog_json_number(j, "refused", m->refused);
    prog_json_number(j, "http_4xx", m->http[4]);
    prog_json_number(j, "http_5xx", m->http[5]);
    prog_json_number(j, "damaged", m->damaged);
    prog_json_number(j, "log_dropped", m->log_dropped);
    prog_json_number(j, "sent", m->sent);
    prog_json_number(j, "spared", m->spared);
    prog_json_number(j, "connections", m->connections);
    prog_json_number(j, "transfers", m->transfers);
}

/* Append "names":[{...},...]. */
static int put_names(prog_json *j, versions_store *store)
{
    versions_version *list = NULL;
    size_t count = 0;
    int status = versions_version_list(store, &list, &count);
    const size_t shown = count < DXUP_STATUS_NAMES_MAX ? count : DXUP_STATUS_NAMES_MAX;
    if (!status) {
        prog_json_number(j, "names_left_out", count - shown);
        prog_json_array_begin(j, "names");
        for (size_t i = 0; i < shown; i++) {
            const versions_version *v = &list[i];
            prog_json_object_begin(j);
            prog_json_text(j, "name", v->name);
            prog_json_number(j, "version", v->tagged ? v->tagged : v->version);
            prog_json_flag(j, "tag", v->tagged != 0);
            prog_json_flag(j, "tree", v->kind == PROG_TREE);
            prog_json_number(j, "size", v->size);
            prog_json_time(j, "time", v->time_ns);
            prog_json_object_end(j);
        }
        prog_json_array_end(j);
    }
    free(list);
    return status;
}

int dxup_status_answer(versions_store **store, const dxup_metrics *m, const char *path,
                       prog_line *body, const char **fields)
{
    *fields = "Content-Type: text/plain\r\nCache-Control: no-store\r\n";
    if (!strcmp(path, "metrics")) {
        *fields = "Content-Type: text/plain; version=0.0.4\r\nCache-Control: no-store\r\n";
        dxup_metrics_put(body, m);
        return 200;
    }
    if (!strcmp(path, "index.html")) {
        *fields = "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
                  "X-Content-Type-Options: nosniff\r\n"
                  "Content-Security-Policy: default-src 'none'; connect-src 'self'; "
                  "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'\r\n";
        for (const char *const *line = dxup_page; *line; line++) prog_line_put_text(body, *line);
        return 200;
    }
    const bool healthy = !versions_store_refresh(store);
    if (!strcmp(path, "healthz")) {
        prog_line_put_text(body, healthy ? "ok\n" : "the store cannot be read\n");
        return healthy ? 200 : 503;
    }
    if (strcmp(path, "status.json") != 0) return 404;
    prog_json j;
    prog_json_begin(&j);
    put_counters(&j, m);
    *fields = "Content-Type: application/json\r\nCache-Control: no-store\r\n";
    const bool good = healthy && !put_names(&j, *store);
    prog_json_end_into(&j, body);
    return good ? 200 : 503;
}
