#ifndef TESTS_UNIT_MESSAGE_SAMPLE_H
#define TESTS_UNIT_MESSAGE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/random.h"
#include "message/draft.h"

/*
 * Drafts made from a seed, all of which are good, and what a reader must find
 * in the mail. All bytes belong to the sample.
 */
#define SAMPLE_LIST_MAX 8

struct sample_mailbox {
    struct str name; /* as a person reads it; empty: none */
    struct str mailbox;
};

struct sample_list {
    struct sample_mailbox boxes[SAMPLE_LIST_MAX];
    size_t count;
    struct str items[SAMPLE_LIST_MAX];
};

struct sample {
    struct draft draft;
    struct sample_list from;
    struct sample_list to;
    struct sample_list cc;
    struct sample_list bcc; /* their domain is "hidden.example" */
    struct sample_list reply_to;
    struct draft_header headers[6];
    struct draft_attachment attachments[5];
    char *owned[160];
    size_t owned_count;
    unsigned serial;
};

void sample_make(struct sample *s, struct random *r);
void sample_fini(struct sample *s);

#endif
