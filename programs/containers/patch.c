/* Whole patches between containers, made and applied in memory:

       container_diff()    forms of both files, the caller's patch between these, seal, rebuild NEW
       container_run()     form of OLD, the inner patch, NEW from its form

   The caller makes the inner patch, because programs allow different amounts of memory and different
   codings. Stands on container.c. */
#include "container.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FAULT_SIZE = 65536, /* bytes that the system may map around the one that is read */
    SPARE      = 80000  /* bytes of memory with which an applier writes larger pieces */
};

int container_diff(const container_maker *m, const uint8_t *from, size_t from_size,
                   const uint8_t *to, size_t to_size, container_bytes *out)
{
    container_forms forms = {.form_max = m->form_max, .allowed = m->kinds, .cancel = m->cancel};
    container_bytes check = {.cancel = m->cancel};
    container_patch p;
    uint8_t *inner = NULL;
    size_t inner_size = 0;
    assert(!out->bytes);
    int error = container_make(from, from_size, to, to_size, m->memory_max, &forms);
    if (!error)
        error = m->create(m->user, forms.from.bytes, forms.from.size, forms.to.bytes,
                          forms.to.size, &inner, &inner_size);
    container_drop(&forms.from);
    if (!error)
        error = container_seal(&forms, from, from_size, to, to_size, inner, inner_size, out);
    free(inner);
    if (!error) error = container_open(out->bytes, out->size, &p);
    check.source = &forms.to;
    if (!error)
        error = container_rebuild(&p, forms.to.bytes, forms.to.size, m->memory_max, &check);
    container_drop_forms(&forms);
    container_drop(&check);
    if (error) container_drop(out);
    return error;
}

/* Check the requirements of the patch against the limits before anything is unpacked. */
static int check_needs(const container_patch *p, uint64_t inner_max, dx_patch_header *inner)
{
    for (unsigned kind = 1; kind < CONTAINER_KINDS; kind++)
        if (p->kinds >> kind & 1 && !container_has(kind)) return DX_PATCH_ENOTSUP;
    int error = p->inner_size ? dx_patch_info(p->inner, p->inner_size, inner) : DX_PATCH_ENOPATCH;
    if (error) return error;
    if (inner->kind != DX_PATCH_KIND_DELTA) return DX_PATCH_ECORRUPT;
    if (inner->memory_size > inner_max) return DX_PATCH_ENOMEM;
    return inner->target_size > p->form_max ? DX_PATCH_ETOOBIG : DX_PATCH_OK;
}

/* >>inner: the form of NEW is written in order, that of OLD is read at any place -------------- */
static int read_form(void *user, uint64_t at, void *out, size_t size)
{
    container_bytes *form = user;
    const container_bytes *from = form->source;
    if (at > from->size || size > from->size - at) return DX_PATCH_ECORRUPT;
    memcpy(out, from->bytes + at, size);
    container_pass(form, size < FAULT_SIZE ? FAULT_SIZE : size);
    return 0;
}

static int write_form(void *user, const void *bytes, size_t size)
{
    container_bytes *form = user;
    return container_add(form, bytes, size) ? 0 : form->error;
}

static int feed_inner(const container_patch *p, const dx_patch_applier_desc *desc, dx_patch_applier *a)
{
    int error = dx_patch_applier_init(a, desc);
    if (!error) error = dx_patch_applier_feed(a, p->inner, p->inner_size);
    if (!error) error = dx_patch_applier_finish(a);
    const int why = dx_patch_applier_callback_result(a);
    return error == DX_PATCH_ESYS && why ? why : error;
}

/* Make the form of NEW. The caller drops it, also after an error. */
static int run_inner(const container_patch *p, const dx_patch_header *inner,
                     const container_bytes *from, container_bytes *form)
{
    dx_patch_applier_desc desc = {.user = form, .read = read_form, .write = write_form,
                                  .base_size = from->size};
    int error = DX_PATCH_ENOMEM;
    desc.target_size_max = inner->target_size;
    desc.memory_size = (size_t)inner->memory_size + SPARE;
    desc.memory = malloc(desc.memory_size);
    dx_patch_applier *a = malloc(sizeof *a);
    *form = (container_bytes){.max = (size_t)inner->target_size, .source = from};
    if (desc.memory && a && container_reserve(form, form->max + 1)) error = feed_inner(p, &desc, a);
    form->source = NULL;
    free(a);
    free(desc.memory);
    /* OLD is right but its form is not: the library unpacked it differently, or the patch is forged. */
    return error == DX_PATCH_EBASE || error == DX_PATCH_EAPPLIED ? DX_PATCH_ECORRUPT : error;
}

int container_run(const container_patch *p, const uint8_t *from, size_t from_size,
                  uint64_t memory_max, uint64_t inner_max, container_bytes *out)
{
    container_bytes old_form = {0};
    dx_patch_header inner;
    container_bytes form = {0};
    assert(!out->bytes);
    int error = check_needs(p, inner_max, &inner);
    old_form.source = out->source;
    if (!error) error = container_unpack(p, from, from_size, memory_max, &old_form);
    if (!error) error = run_inner(p, &inner, &old_form, &form);
    container_drop(&old_form);
    out->source = &form;
    if (!error) error = container_rebuild(p, form.bytes, form.size, memory_max, out);
    out->source = NULL;
    container_drop(&form);
    return error;
}
