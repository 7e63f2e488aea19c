/* operate/config.h - FRAME_OP_CONFIG: what every setting of this broker stands at and where that comes from, and changes of those that may change while it runs. */
#ifndef BROKER_OPERATE_CONFIG_H
#define BROKER_OPERATE_CONFIG_H

#include "cmd/broker/operate/operate.h"

/* As operate_answer(). After a change the answer says how things stand then. */
int config_answer(struct control *control, struct slice request, struct buffer *to, char text[OPERATE_TEXT_SIZE]);

#endif
