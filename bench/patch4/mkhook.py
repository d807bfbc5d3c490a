s=open('/tmp/patch2/ex.h').read()
def r(a,b):
    global s
    assert s.count(a)==1,(s.count(a),a)
    s=s.replace(a,b)
r("if (ex_tag[f.ex] == f.tag) f.used","if (id == DX_PATCH_P_ID_WASM && ex_tag[f.ex] == f.tag) f.used")
r('''    for (i = 0; i < 5; i++) dx_patch_p_shift_low(c);
}''','''    for (i = 0; i < 5; i++) dx_patch_p_shift_low(c);
}
extern int HOOK; void hook_num(uint32_t which, uint64_t v); void hook_flag(uint32_t row, uint32_t v); void hook_byte(int k, uint32_t v); void hook_ctx(uint32_t,uint32_t,uint32_t,uint32_t,uint32_t,uint32_t); void hook_gap(uint64_t from, uint64_t to, uint64_t old_at);''')
r('''    if (!c->range_) return dx_patch_p_get_varint(c);
    DX_PATCH_ASSERT(which''','''    if (!c->range_) return dx_patch_p_get_varint(c);
    if (HOOK && c->mode_ == DX_PATCH_P_WRITE) hook_num(which, v);
    DX_PATCH_ASSERT(which''')
r('''    if (DX_PATCH_P_MODE(c) == DX_PATCH_P_COUNT) return dx_patch_p_symbol(c, row, v);
''','''    if (DX_PATCH_P_MODE(c) == DX_PATCH_P_COUNT) return dx_patch_p_symbol(c, row, v);
    if (HOOK && row < DX_PATCH_P_M_RAW) hook_flag(row, v);
''')
r('''    d->last_diff_ = v;
    return v;''','''    d->last_diff_ = v;
    if (HOOK && d->coder_.mode_ == DX_PATCH_P_WRITE) { hook_byte(0, v); hook_ctx(v, old, before, last, d->last_run_, d->id_); }
    return v;''')
r('''    DX_PATCH_MEMCPY(m->now, b->old_bytes, b->limit);
    (void)dx_patch_p_code_block''','''    DX_PATCH_MEMCPY(m->now, b->old_bytes, b->limit);
    if (HOOK && d->coder_.mode_ == DX_PATCH_P_WRITE) hook_byte(1, id);
    (void)dx_patch_p_code_block''')
r('''    DX_PATCH_ASSERT(old_at <= f->base_size);
    d->past_ = 0;''','''    DX_PATCH_ASSERT(old_at <= f->base_size);
    if (HOOK) { hook_gap(from, to, old_at); return; }
    d->past_ = 0;''')
r('if (d->coder_.mode_ != DX_PATCH_P_COUNT) { ex_tag','if (d->id_ == DX_PATCH_P_ID_WASM && d->coder_.mode_ != DX_PATCH_P_COUNT) { ex_tag')
open('/tmp/patch2/hook.h','w').write(s)
