#ifndef SMTP_THROTTLE_H
#define SMTP_THROTTLE_H

#include <stdbool.h>

#include "smtp/reply.h"

/*
 * Whether a reply means "too fast" or "too much at once": the relay wants
 * fewer mails a second, and the mail itself is as good as any. Relays say so
 * in many ways; what is known is in one table (code, enhanced code, words).
 * Pure.
 */
bool smtp_throttle_says(const struct smtp_reply *reply);

#endif
