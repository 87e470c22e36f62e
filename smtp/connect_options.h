#ifndef SMTP_CONNECT_OPTIONS_H
#define SMTP_CONNECT_OPTIONS_H

#include <curl/curl.h>

#include "smtp/connect.h"

/*
 * Inside smtp/ only: tells libcurl all that there is to know of one attempt:
 * relay, address, login, limits, and where the relay's replies go. c is used
 * by the handle until it is cleaned up; c->connect_to may be set.
 */
CURLcode smtp_connect_set_options(struct smtp_connect *c, CURL *easy);

#endif
