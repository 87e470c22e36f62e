#include "smtp/throttle.h"

bool smtp_throttle_says(const struct smtp_reply *reply)
{
    (void)reply;
    return false;
}
