/* raw_message.h - frames as a stranger could send them: what wire_send() would never make.
 *
 * It is not: a second implementation of the protocol; only the checksum of frame 0 is made right, so that the rest of a
 * wrong message is looked at.
 */
#ifndef NASFARM_RAW_MESSAGE_H
#define NASFARM_RAW_MESSAGE_H

#include <check.h>
#include <string.h>

#include "checksum.h"
#include "wire.h"

struct raw_frame {
    const void *bytes;
    size_t len;
};

/* Sends n frames as one message. A first frame of 4 bytes, 'N' 'F' version kind, gets its checksum behind it. */
static inline void raw_send(void *socket, const struct raw_frame *frames, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t mark[8];
        struct raw_frame frame = frames[i];

        if (i == 0 && frame.len == 4 && memcmp(frame.bytes, "NF", 2) == 0) {
            uint8_t kind = ((const uint8_t *)frame.bytes)[3];
            bool payload = kind == WIRE_PUBLISH || kind == WIRE_TASK || kind == WIRE_RESULT ||
                           kind == WIRE_PROGRESS;
            uint32_t crc = checksum_crc32(frame.bytes, 4);

            for (size_t k = 1; k < n && k < (payload ? 3 : 2); k++)
                crc = checksum_crc32_more(crc, frames[k].bytes, frames[k].len);
            memcpy(mark, frame.bytes, 4);
            for (int b = 0; b < 4; b++)
                mark[4 + b] = (uint8_t)(crc >> 8 * b);
            frame = (struct raw_frame){mark, sizeof mark};
        }
        ck_assert_int_eq(zmq_send(socket, frame.bytes, frame.len, i + 1 < n ? ZMQ_SNDMORE : 0),
                         (int)frame.len);
    }
}

#endif
