#ifndef TESTS_UNIT_SMTP_CHAOS_CHECK_H
#define TESTS_UNIT_SMTP_CHAOS_CHECK_H

#include "tests/unit/smtp/chaos_model.h"

/*
 * Complains to record when a run came out in another way than it must have:
 * results against the model, and against what the relay really has; when each
 * command was said; and why the session ended. The model has run.
 */
void chaos_check(const struct chaos_model *model, struct chaos_record *record);

#endif
