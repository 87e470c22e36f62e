#include "smtp/command.h"

#include <stddef.h>

#include "core/panic.h"
#include "core/utf8.h"

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/*
 * Length of the quoted local part that address starts with: 0 when there is
 * none, its closing quote is missing, or no "@" follows.
 */
static size_t quoted_len(struct str address)
{
    if (address.data[0] != '"')
        return 0;
    for (size_t i = 1; i + 1 < address.len; i++) {
        if (address.data[i] == '"')
            return address.data[i + 1] == '@' ? i + 1 : 0;
        if (address.data[i] == '\\')
            i++;
    }
    return 0;
}

bool smtp_command_address_ok(struct str address)
{
    if (address.len == 0 || address.len > SMTP_ADDRESS_MAX)
        return false;
    size_t quoted = quoted_len(address);
    if (address.data[0] == '"' && quoted == 0)
        return false;
    for (size_t i = 0; i < address.len; i++) {
        char c = address.data[i];
        if (is_control(c) ||
            (i >= quoted && (c == ' ' || c == '<' || c == '>')))
            return false;
    }
    return utf8_is_valid(address);
}

/*
 * The caller has checked it and has an error path; here it is the last line
 * of defence against commands hidden in an address.
 */
static void add_path(struct buf *out, struct str address)
{
    PANIC_IF(address.len > 0 && !smtp_command_address_ok(address));
    buf_add_char(out, '<');
    buf_add_str(out, address);
    buf_add_char(out, '>');
}

void smtp_command_mail(struct buf *out, const struct smtp_command_mail *mail)
{
    buf_add_str(out, STR("MAIL FROM:"));
    add_path(out, mail->sender);
    if (mail->with_size) {
        buf_add_str(out, STR(" SIZE="));
        buf_add_u64(out, mail->size_bytes);
    }
    if (mail->body_8bit)
        buf_add_str(out, STR(" BODY=8BITMIME"));
    if (mail->utf8)
        buf_add_str(out, STR(" SMTPUTF8"));
    buf_add_str(out, STR("\r\n"));
}

void smtp_command_rcpt(struct buf *out, struct str address)
{
    PANIC_IF(address.len == 0);
    buf_add_str(out, STR("RCPT TO:"));
    add_path(out, address);
    buf_add_str(out, STR("\r\n"));
}

void smtp_command_data(struct buf *out)
{
    buf_add_str(out, STR("DATA\r\n"));
}

void smtp_command_bdat(struct buf *out, uint64_t size_bytes)
{
    buf_add_str(out, STR("BDAT "));
    buf_add_u64(out, size_bytes);
    buf_add_str(out, STR(" LAST\r\n"));
}

void smtp_command_rset(struct buf *out)
{
    buf_add_str(out, STR("RSET\r\n"));
}

void smtp_command_quit(struct buf *out)
{
    buf_add_str(out, STR("QUIT\r\n"));
}
