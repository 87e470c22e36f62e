#ifndef PRODUCER_ADMIN_H
#define PRODUCER_ADMIN_H

#include "producer/json.h"
#include "producer/request.h"

/*
 * Operations for a person who looks after the service: `list`, `retry` and
 * `drop`, of everybody's jobs. Answered to administrators only: root
 * and the daemon's own user on a Unix socket, and all clients of a listener
 * that is marked admin. Everybody else is told `forbidden`.
 *
 * object is the whole request. r is answered now or later and may be gone.
 */
void admin_list(struct request *r, const struct json_value *object);
void admin_retry(struct request *r, const struct json_value *object);
void admin_drop(struct request *r, const struct json_value *object);

#endif
