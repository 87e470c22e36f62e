#ifndef QUEUE_CODEC_H
#define QUEUE_CODEC_H

#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"
#include "queue/job.h"
#include "queue/progress.h"

/*
 * A job without its body, and its progress, as the bytes of one row: a version
 * byte, then lengths and little-endian numbers. Pure.
 *
 * Version 2 is version 1 and the progress' relay behind it; it is written for
 * those that have one. Both are read.
 */
#define CODEC_VERSION_PLAIN 1
#define CODEC_VERSION_RELAY 2

void codec_put(const struct job *job, const struct progress *progress,
               struct buf *out);

/*
 * The reverse: a new job (one reference, body NULL) and an init'd progress,
 * both the caller's. ERR_INVALID for anything that codec_put() cannot have
 * written: lengths are checked, nothing is read outside of bytes.
 */
MUST_CHECK enum err_code codec_get(struct str bytes, struct job **job,
                                   struct progress *progress);

#endif
