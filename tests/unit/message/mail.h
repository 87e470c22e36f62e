#ifndef TESTS_UNIT_MESSAGE_MAIL_H
#define TESTS_UNIT_MESSAGE_MAIL_H

#include "message/compose.h"

/* The smallest good draft, with one string for each field of mailboxes. */
struct mail {
    struct draft draft;
    struct str to;
    struct str cc;
    struct str bcc;
    struct str reply_to;
    struct draft_header header;
    struct draft_attachment attachment;
};

/* From a@x.org to b@x.org, with the text "Hello". */
void mail_init(struct mail *m);
void mail_set_header(struct mail *m, struct str name, struct str value);
void mail_set_attachment(struct mail *m, struct draft_attachment attachment);

/* Id "01jd", host "mail.example.com", at most three recipients. */
struct compose_options mail_options(void);

/* The test that is running fails unless the draft gives this message. */
void mail_composes(const struct draft *draft, const char *wanted);

/* ... unless it is refused so; part is a part of the sentence. */
void mail_refuses(const struct draft *draft, enum problem_kind kind,
                  const char *field, const char *part);
void mail_refuses_with(const struct draft *draft,
                       const struct compose_options *options,
                       enum problem_kind kind, const char *field,
                       const char *part);

/* Pieces of wanted messages. */
#define HEAD                                                                   \
    "Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"                                \
    "From: a@x.org\r\n"                                                        \
    "To: b@x.org\r\n"
#define ID                                                                     \
    "Message-ID: <01jd@mail.example.com>\r\n"                                  \
    "MIME-Version: 1.0\r\n"
#define TEXT_7BIT                                                              \
    "Content-Type: text/plain; charset=utf-8\r\n"                              \
    "Content-Transfer-Encoding: 7bit\r\n\r\n"
#define N70                                                                    \
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

#endif
