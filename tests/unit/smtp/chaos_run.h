#ifndef TESTS_UNIT_SMTP_CHAOS_RUN_H
#define TESTS_UNIT_SMTP_CHAOS_RUN_H

#include "tests/unit/smtp/chaos_plan.h"
#include "tests/unit/smtp/chaos_record.h"

/*
 * Plays a plan: one session and one relay in one loop, over a connection of
 * libcurl's on loopback. The bytes that libcurl takes and gives are counted,
 * and dice say how many these are at once (link with --wrap=curl_easy_send
 * and --wrap=curl_easy_recv). Time passes only when nothing else happens.
 *
 * What must never be, hanging included, is in record->complaint. listener: of
 * chaos_wire_listen().
 */
void chaos_run(struct chaos_plan *plan, struct chaos_record *record,
               int listener);

#endif
