/* The data that a reply announces, a patch of the destination or the full new content:

       dxup_pull_start_transfer()   open the staging file, resume an interrupted pull
         dxup_pull_receive_chunk()     the bytes over the connection of the request, or
         receive_range()               over several (net/ranges.c)
           receive_patch()             through the applier, or collected (pull_container.c), or
           write_target()           directly into the staging file, hashed on the way
       finish_transfer()            compare the hash */
#include "pull.h"

#include "../../sync/loop.h"
#include "../../sync/wire.h"
#include "../../common/os.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { APPLY_MEMORY_MAX = 64 << 20 }; /* that of dx_patch_create(), which earlier servers do not lower */

/* The first failure decides the status; later ones are its consequences. PROG_OK just ends. */
void dxup_pull_end(pull *p, int status)
{
    if (!p->transfer.status) p->transfer.status = status;
    p->transfer.done = true;
    dx_reactor_stop(&p->transfer.reactor);
}

/* Can the next pull resume this one if it is interrupted? Only a large file sent in full: the
   staging file has the beginning of its content. */
bool dxup_pull_can_resume(const pull *p)
{
    return p->plan.outcome == DXUP_FULL && p->plan.kind == PROG_FILE &&
           p->plan.wire_size >= DXUP_RANGES_FROM;
}

/* >>receiving ---------------------------------------------------------- */
/* Write the next bytes of the target, from the wire or from the applier. */
static int write_target(void *user, const void *bytes, size_t size)
{
    pull *p = user;
    assert(p->install.dest_open);
    dx_cas_blake3_update(&p->transfer.hasher, bytes, size);
    p->transfer.written += size;
    prog_progress(p->o->name, p->transfer.written, p->plan.size, false);
    return versions_dest_write(&p->install.dest, bytes, size);
}

/* Read a window of the base from its file. */
static int read_base_file(void *user, uint64_t offset, void *out, size_t size)
{
    pull *p = user;
    assert(p->transfer.base_fd >= 0);
    const int64_t got = prog_read_at(p->transfer.base_fd, offset, out, size);
    if (got < 0) return prog_fail_errno("%s", p->o->path);
    if ((size_t)got < size)
        return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", p->o->path);
    return PROG_OK;
}

/* Callback of the applier: read bytes of the base. */
static int read_base(void *user, uint64_t offset, void *out, size_t size)
{
    pull *p = user;
    return prog_windows_read(&p->transfer.base, offset, out, size);
}

static int apply_failed(pull *p, int error)
{
    assert(error);
    int inner = dx_patch_applier_callback_result(&p->transfer.applier);
    if (error == DX_PATCH_ESYS && inner) return inner; /* already reported */
    return prog_fail(PROG_DAMAGED, "the patch cannot be applied: %s", dx_patch_error_name(error));
}

/* The header of the patch is complete: check it against the reply. */
static int start_applier(pull *p)
{
    dx_patch_header header;
    int error = dx_patch_info(p->transfer.head, sizeof p->transfer.head, &header);
    if (error) return prog_fail(PROG_DAMAGED, "the server sent a malformed patch: %s",
                                              dx_patch_error_name(error));
    if (header.memory_size > APPLY_MEMORY_MAX)
        return prog_fail(PROG_REFUSED, "the patch needs more memory than a pull may use");
    if (header.target_size != p->plan.size ||
        memcmp(header.target_hash, p->plan.hash, PROG_HASH_SIZE) != 0)
        return prog_fail(PROG_DAMAGED, "the patch is for another version than the server announced");
    assert(!p->transfer.applying);
    dx_patch_applier_desc desc = {0};
    desc.user = p;
    desc.read = read_base;
    desc.write = write_target;
    desc.base_size = p->plan.have_size;
    /* more than the minimum, so that the applier reads and writes in larger pieces */
    desc.memory_size = (size_t)header.memory_size + PROG_IO_SIZE + 4096;
    p->transfer.apply_memory = prog_alloc(desc.memory_size);
    desc.memory = p->transfer.apply_memory;
    desc.target_size_max = p->plan.size;
    /* dxup_pull_hash_destination() has just computed it */
    desc.skip_base_hash = memcmp(header.base_hash, p->plan.have, PROG_HASH_SIZE) == 0;
    desc.skip_target_hash = true; /* write_target() hashes, finish_transfer() compares */
    prog_windows_open(&p->transfer.base, p->plan.have_size, read_base_file, p);
    error = dx_patch_applier_init(&p->transfer.applier, &desc);
    if (!error)
        error =
            dx_patch_applier_feed(&p->transfer.applier, p->transfer.head, sizeof p->transfer.head);
    p->transfer.applying = true;
    return error ? apply_failed(p, error) : PROG_OK;
}

/* Take the next bytes of the patch; its head is collected first. */
static int receive_patch(pull *p, uint64_t offset, const uint8_t *bytes, size_t size)
{
    if (offset < sizeof p->transfer.head) {
        size_t n = sizeof p->transfer.head - (size_t)offset < size
                       ? sizeof p->transfer.head - (size_t)offset
                       : size;
        memcpy(p->transfer.head + offset, bytes, n);
        bytes += n;
        size -= n;
        if (offset + n < sizeof p->transfer.head) return PROG_OK;
        int status = dxup_pull_begins_container(p) ? dxup_pull_start_container(p)
                                                   : start_applier(p);
        if (status) return status;
    }
    if (p->transfer.contained) return dxup_pull_receive_container(p, bytes, size);
    int error = size ? dx_patch_applier_feed(&p->transfer.applier, bytes, size) : 0;
    return error ? apply_failed(p, error) : PROG_OK;
}

/* Read all of the base, in pieces. */
static int read_whole_base(pull *p, container_bytes *base)
{
    const size_t size = (size_t)p->plan.have_size;
    int status = PROG_OK;
    if (!container_reserve(base, size + 1))
        return prog_fail(PROG_SYSTEM, "%s: no memory, and no space for a temporary file, to apply a "
                                      "patch to it", p->o->path);
    while (!status && base->size < size) {
        const size_t part = size - base->size < PROG_IO_SIZE ? size - base->size : PROG_IO_SIZE;
        status = read_base_file(p, base->size, base->bytes + base->size, part);
        base->size += part;
        container_pass(base, part);
    }
    return status;
}

/* A patch between containers is complete: apply it. Its output was verified before it is written. */
static int finish_container(pull *p)
{
    container_bytes made = {0}, base = {0};
    int status = read_whole_base(p, &base);
    if (!status) status = dxup_pull_run_container(p, &base, &made);
    container_drop(&base);
    for (size_t at = 0; !status && at < made.size;) {
        const size_t part = made.size - at < PROG_IO_SIZE ? made.size - at : PROG_IO_SIZE;
        status = write_target(p, made.bytes + at, part);
        container_pass(&made, part);
        at += part;
    }
    container_drop(&made);
    return status;
}

/* All bytes have arrived: verify and commit. */
static int finish_transfer(pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    if (p->transfer.next != p->plan.wire_size)
        return prog_fail(PROG_DAMAGED, "the transfer ended after %llu of %llu bytes",
                         (unsigned long long)p->transfer.next,
                         (unsigned long long)p->plan.wire_size);
    if (p->transfer.contained) {
        int status = finish_container(p);
        if (status) return status;
    } else if (p->plan.outcome == DXUP_PATCHED) {
        int error = p->transfer.applying ? dx_patch_applier_finish(&p->transfer.applier)
                                         : DX_PATCH_ETRUNCATED;
        if (error) return apply_failed(p, error);
    }
    dx_cas_blake3_final(&p->transfer.hasher, hash, sizeof hash);
    assert(p->install.dest_open);
    bool good = p->transfer.written == p->plan.size && !memcmp(hash, p->plan.hash, sizeof hash);
    if (!good && p->transfer.kept)
        return prog_fail(PROG_DAMAGED,
                         "the data of an interrupted pull is damaged; fetching everything again");
    if (!good)
        return prog_fail(PROG_DAMAGED,
                         "the content does not match the hash that the server announced; nothing "
                         "was changed");
    p->install.complete = true;
    return PROG_OK;
}

/* >>many connections --------------------------------------------------- */
/* Take the next bytes; net/ranges.c delivers them in order. */
static int receive_range(void *user, uint64_t offset, const uint8_t *bytes, size_t size)
{
    pull *p = user;
    assert(offset == p->transfer.next);
    p->transfer.next = offset + size;
    p->transfer.progress_ns = dx_reactor_now_ns(&p->transfer.reactor);
    return p->plan.outcome == DXUP_PATCHED ? receive_patch(p, offset, bytes, size)
                                      : write_target(p, bytes, size);
}

static void ranges_ended(void *user, int status)
{
    pull *p = user;
    dxup_pull_end(p, status ? status : finish_transfer(p));
}

static int start_ranges(pull *p)
{
    assert(!p->transfer.ranges && p->transfer.next < p->plan.wire_size);
    unsigned connections = p->o->connections ? p->o->connections : 1;
    const dx_reactor_address *address = &p->transfer.addresses.list[p->transfer.address_at];
    dxup_ranges_desc          desc = {&p->transfer.reactor,
                                      address,
                                      p->o->name,
                                      p->o->path,
                                      {0},
                                      {0},
                                      0,
                                      p->plan.wire_size,
                                      p->transfer.next,
                                      connections,
                                      p->o->timeout_s,
                                      &p->transfer.rate,
                                      &p->transfer.sent,
                                      &p->transfer.received,
                                      receive_range,
                                      ranges_ended,
                                      p};
    memcpy(desc.target, p->plan.hash, sizeof desc.target);
    memcpy(desc.have, p->plan.have, sizeof desc.have);
    if (p->plan.outcome == DXUP_PATCHED) desc.flags |= DXUP_RANGES | dxup_pull_container_flags(p);
    p->transfer.leaving = true; /* the server may allow few connections */
    (void)dx_link_close(&p->transfer.links, p->transfer.link, DX_HBTP_STATUS_NONE, NULL);
    return dxup_ranges_start(&p->transfer.ranges, &desc);
}

/* Resume: hash the bytes from an earlier pull, and continue after them. */
static int reuse_kept(pull *p)
{
    uint8_t buffer[PROG_IO_SIZE];
    assert(p->plan.kind == PROG_FILE && !p->transfer.written);
    while (p->transfer.written < p->install.dest.kept) {
        int64_t n = os_read(p->install.dest.fd, buffer, sizeof buffer);
        if (n < 0) return prog_fail_errno("%s", p->install.dest.staging);
        if (n == 0) break; /* impossible under our lock; the final hash would detect it */
        dx_cas_blake3_update(&p->transfer.hasher, buffer, (size_t)n);
        p->transfer.written += (uint64_t)n;
        prog_progress(p->o->name, p->transfer.written, p->plan.size, false);
    }
    p->transfer.next = p->transfer.kept = p->transfer.written;
    return PROG_OK;
}

/* Open the staging file, and resume or restart. */
int dxup_pull_start_transfer(pull *p)
{
    assert(!p->install.dest_open);
    bool parts = (p->o->connections > 1 || p->plan.left_staging) && !p->plan.transfer_id &&
                 p->plan.wire_size >= DXUP_RANGES_FROM;
    int status = versions_dest_open(&p->install.dest, p->o->path, p->plan.kind, p->plan.mode,
                                    dxup_pull_can_resume(p) ? p->plan.hash : NULL);
    p->install.dest_open = !status;
    p->install.dest.entries_max = p->o->limits.entries_max;
    p->install.dest.bytes_max = p->o->limits.size_max;
    dx_cas_blake3_init(&p->transfer.hasher);
    if (!status && (!parts || p->install.dest.kept > p->plan.size))
        status = p->plan.kind == PROG_FILE ? versions_dest_restart(&p->install.dest) : 0;
    if (!status && p->install.dest.kept) status = reuse_kept(p);
    if (status || !parts) return status;
    if (p->transfer.next < p->plan.wire_size) return start_ranges(p);
    ranges_ended(p, PROG_OK); /* a crash just before the commit */
    return PROG_OK;
}

/* >>one connection ----------------------------------------------------- */
int dxup_pull_receive_chunk(const dx_hbtp_context *context)
{
    pull *p = context->user;
    dx_hbtp_file_chunk chunk;
    if (p->transfer.done || p->transfer.ranges) return 0;
    int error = dx_hbtp_parse_file_chunk(context->frame, &chunk);
    int status = PROG_OK;
    if (error || !p->install.dest_open || chunk.transfer != p->plan.transfer_id ||
        chunk.offset != p->transfer.next ||
        chunk.data_size > p->plan.wire_size - p->transfer.next ||
        (!chunk.data_size && !chunk.final))
        status = prog_fail(PROG_DAMAGED, "the server sent a bad chunk: %s",
                           error ? dxup_protocol_text(error) : "it is out of order");
    else if (p->plan.outcome == DXUP_PATCHED)
        status = receive_patch(p, chunk.offset, chunk.data, chunk.data_size);
    else if (chunk.data_size)
        status = write_target(p, chunk.data, chunk.data_size);
    dxup_rate_use(&p->transfer.rate, chunk.data_size);
    p->transfer.progress_ns = dx_reactor_now_ns(&p->transfer.reactor);
    if (!status) p->transfer.next += chunk.data_size;
    if (!status && chunk.final) {
        status = finish_transfer(p);
        p->transfer.done = true;
        dx_reactor_stop(&p->transfer.reactor);
    }
    if (status) dxup_pull_end(p, status);
    return 0;
}
