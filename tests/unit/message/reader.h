#ifndef TESTS_UNIT_MESSAGE_READER_H
#define TESTS_UNIT_MESSAGE_READER_H

#include "core/str.h"
#include "tests/unit/message/sample.h"

/*
 * Reads a composed message with GMime, in its strict mode, and fails the test
 * that is running unless all of the sample is found in it, and its structure
 * is the one that message/compose.h names.
 */
void reader_check(const struct sample *s, struct str message);

#endif
