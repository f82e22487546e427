/* wire_head.h - the protobuf heads of messages; private to proto (wire.h is the interface). */
#ifndef NASFARM_WIRE_HEAD_H
#define NASFARM_WIRE_HEAD_H

#include "wire.h"

/* Initialises *head with the packed head. FARM_ENOMEM; FARM_EWIRE when it would be past LIMIT_HEAD_BYTES. */
int wire_head_pack(const struct wire_message *message, zmq_msg_t *head);
/* Fills message->u for message->kind. */
int wire_head_unpack(struct wire_message *message, const void *bytes, size_t len, struct why *why);
/* Frees what wire_head_unpack() allocated. */
void wire_head_release(struct wire_message *message);

#endif
