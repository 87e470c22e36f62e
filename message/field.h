#ifndef MESSAGE_FIELD_H
#define MESSAGE_FIELD_H

#include "core/str.h"
#include "message/address.h"
#include "message/header.h"

/*
 * The values of header fields: text and mailboxes with UTF-8 in them, folded
 * and encoded as needed. No control characters may be in what is passed.
 *
 * Threads: none.
 */

/* RFC 5322 unstructured: as it is if it can be, else encoded words. */
void field_text(struct header *h, struct str text);

/* mailbox, or display name and <mailbox>; without the comma. */
void field_mailbox(struct header *h, const struct address *a);

#endif
