/* record.h - the bytes of the store's records: one canonical little-endian form each.
 *
 * It is:     encoding, decoding and the CRC-32 at each record's end. Whole numbers are varints, doubles
 *            eight bytes, texts a length and their bytes.
 * It is not: LMDB, nor a wire format: only controller/store/ includes it.
 */
#ifndef NASFARM_RECORD_H
#define NASFARM_RECORD_H

#include "store.h"

/* Bytes that grow. The first failed allocation is sticky: look once, at the end. */
struct bytes {
    uint8_t *at;
    size_t len, cap;
    bool failed;
};
void bytes_release(struct bytes *self);
/* Room for len more, or NULL; bytes_used() says how many were written. */
uint8_t *bytes_room(struct bytes *self, size_t len);
void bytes_used(struct bytes *self, size_t len);
void bytes_put(struct bytes *self, const void *data, size_t len);
void bytes_align(struct bytes *self, size_t to);

void record_put_event(struct bytes *out, const struct event *event);
void record_put_proposal(struct bytes *out, const struct trial_record *trial);
void record_put_result(struct bytes *out, const struct trial_record *trial);

/* FARM_OK, FARM_ECORRUPT or FARM_ENOMEM. The key (seq, trial) is not in the bytes and is not set. A genome is
 * malloc'd. The two parts of a trial set different fields. */
int record_get_event(struct event *out, const uint8_t *bytes, size_t len);
int record_get_proposal(struct trial_record *out, const uint8_t *bytes, size_t len);
int record_get_result(struct trial_record *out, const uint8_t *bytes, size_t len);

/* The CRC covers which record it is, too, so that one in another's place is noticed. */
uint32_t record_crc(unsigned table, const void *key, size_t key_len, const void *bytes, size_t len);
/* Puts the CRC of what out holds from `start` on. */
void record_seal(struct bytes *out, size_t start, unsigned table, const void *key, size_t key_len);
/* True when the last four bytes are right; *len shrinks by them. */
bool record_intact(unsigned table, const void *key, size_t key_len, const uint8_t *bytes,
                   size_t *len);

#endif
