/* limits.h - the sizes that no input may pass. Each is checked where the input is parsed.
 *
 * It is not: a resource limit of one evaluation (struct recipe in task.h carries those).
 */
#ifdef __clang__ /* which warns that it starts over at the first -I: that is fine, the guard below ends it */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winclude-next-absolute-path"
#endif
#include_next <limits.h> /* the system's header of the same name: -I puts this one in front of it */
#ifdef __clang__
#pragma clang diagnostic pop
#endif
#ifndef NASFARM_LIMITS_H
#define NASFARM_LIMITS_H

#define LIMIT_GRAPH_NODES       16384u
#define LIMIT_GRAPH_INPUTS      65536u /* edges of one graph, all nodes together */
#define LIMIT_NODE_INPUTS       1024u
#define LIMIT_CHANNELS          65536u
#define LIMIT_SIDE              4096u /* pixels of a height or a width */
#define LIMIT_KERNEL            64u
#define LIMIT_STRIDE            64u
#define LIMIT_DILATION          64u
#define LIMIT_CLASSES           65536u
#define LIMIT_PARAMETERS        1000000000ull /* of one graph */
#define LIMIT_ACTIVATION_VALUES 4000000000ull /* all activations of one image together */
#define LIMIT_NAME              64u /* [A-Za-z0-9._-]{1,64}: peers, data sets, parameters */
#define LIMIT_KEY               40u /* characters of a public key in Z85 */
#define LIMIT_FRAMES            8u  /* of one message, routing ids not counted */
#define LIMIT_HEAD_BYTES        (1024u * 1024)        /* the protobuf head of a message */
#define LIMIT_PAYLOAD_BYTES     (8u * 1024 * 1024)    /* a task or a result */
#define LIMIT_PROGRESS_BYTES    4096u                 /* a report on the way */
#define LIMIT_BLOB_BYTES        (1024u * 1024 * 1024) /* weights */
#define LIMIT_UNPACK_BYTES      (64u * 1024 * 1024) /* memory that unpacking one message may take */
#define LIMIT_SLOTS             4096u               /* of one worker */
#define LIMIT_GENES             4096u

#endif
