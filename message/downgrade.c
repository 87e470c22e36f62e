#include "message/downgrade.h"

enum err_code message_to_7bit(const struct body *in, struct body **out,
                              struct err *err)
{
    (void)in;
    (void)out;
    return err_set(err, ERR_INVALID, "cannot be converted");
}
