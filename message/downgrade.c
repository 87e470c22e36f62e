#include "message/downgrade.h"

#include "core/mem.h"
#include "message/downgrade_plan.h"
#include "message/spill.h"
#include "message/transfer.h"

/* Whole lines of base64 in one piece; and it does not cut CRLF in copies. */
#define SLICE_BYTES ((size_t)TRANSFER_BASE64_BYTES * 287)

struct writer {
    const struct body *in;
    struct spill out;
    char slice[SLICE_BYTES];
};

/* What is in [at, at + len), as much of it as there is room for. */
static enum err_code read_slice(struct writer *w, uint64_t at, uint64_t len,
                                struct str *slice, struct err *err)
{
    size_t wanted = len < SLICE_BYTES ? (size_t)len : SLICE_BYTES;
    size_t got = 0;
    if (body_read(w->in, at, w->slice, wanted, &got) != ERR_NONE ||
        got < wanted)
        return err_set(err, ERR_SYSTEM, "the message cannot be read");
    *slice = str_of(w->slice, got);
    return ERR_NONE;
}

static enum err_code copy(struct writer *w, uint64_t at, uint64_t end,
                          struct err *err)
{
    enum err_code rc = ERR_NONE;
    struct str slice;
    for (; at < end && rc == ERR_NONE; at += slice.len) {
        rc = read_slice(w, at, end - at, &slice, err);
        if (rc != ERR_NONE)
            break;
        buf_add_str(&w->out.bytes, slice);
        rc = spill_step(&w->out, err);
    }
    return rc;
}

static enum err_code write_qp(struct writer *w, uint64_t at, uint64_t end,
                              struct err *err)
{
    enum err_code rc = ERR_NONE;
    struct str slice;
    struct transfer_qp qp;
    transfer_qp_begin(&qp, &w->out.bytes);
    for (; at < end && rc == ERR_NONE; at += slice.len) {
        rc = read_slice(w, at, end - at, &slice, err);
        if (rc != ERR_NONE)
            break;
        /* The LF behind it belongs to it. */
        if (slice.len < end - at && slice.data[slice.len - 1] == '\r')
            slice.len--;
        transfer_qp_add(&qp, slice);
        rc = spill_step(&w->out, err);
    }
    transfer_qp_end(&qp);
    return rc;
}

static enum err_code write_base64(struct writer *w, uint64_t at, uint64_t end,
                                  struct err *err)
{
    enum err_code rc = ERR_NONE;
    struct str slice;
    for (; at < end && rc == ERR_NONE; at += slice.len) {
        rc = read_slice(w, at, end - at, &slice, err);
        if (rc != ERR_NONE)
            break;
        transfer_base64(&w->out.bytes, slice);
        /* What follows the last line in the message brings its own CRLF. */
        if (at + slice.len < end || end == body_size(w->in))
            buf_add_str(&w->out.bytes, STR("\r\n"));
        rc = spill_step(&w->out, err);
    }
    return rc;
}

static enum err_code edit(struct writer *w, const struct downgrade_edit *e,
                          struct err *err)
{
    switch (e->action) {
    case DOWNGRADE_REPLACE:
        buf_add_str(&w->out.bytes, e->text);
        return spill_step(&w->out, err);
    case DOWNGRADE_QUOTED_PRINTABLE:
        return write_qp(w, e->at, e->at + e->len, err);
    case DOWNGRADE_BASE64:
        return write_base64(w, e->at, e->at + e->len, err);
    case DOWNGRADE_NOTHING:
    default:
        return copy(w, e->at, e->at + e->len, err);
    }
}

static enum err_code
write_all(struct writer *w, const struct downgrade_plan *plan, struct err *err)
{
    uint64_t at = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const struct downgrade_edit *e = &plan->edits[i];
        enum err_code rc = copy(w, at, e->at, err);
        if (rc == ERR_NONE)
            rc = edit(w, e, err);
        if (rc != ERR_NONE)
            return rc;
        at = e->at + e->len;
    }
    return copy(w, at, body_size(w->in), err);
}

enum err_code message_to_7bit(const struct body *in, struct body **out,
                              struct err *err)
{
    struct downgrade_plan plan;
    enum err_code rc = downgrade_plan_make(&plan, in, err);
    if (rc == ERR_NONE) {
        struct writer *w;
        MEM_NEW(w);
        w->in = in;
        spill_init(&w->out);
        rc = write_all(w, &plan, err);
        if (rc == ERR_NONE)
            rc = spill_finish(&w->out, out, err);
        spill_fini(&w->out);
        mem_free(w);
    }
    downgrade_plan_fini(&plan);
    return rc;
}
