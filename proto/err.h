/* err.h - what can go wrong, as one number and one sentence.
 *
 * It is:     the error codes that every nasfarm function returns, and struct why, the
 *            sentence for a person that goes with one of them.
 * It is not: an outcome of an evaluation (enum outcome in task.h: a diverged loss is a
 *            result, not an error), nor the place where anything is logged (log.h).
 */
#ifndef NASFARM_ERR_H
#define NASFARM_ERR_H

enum farm_err {
    FARM_OK = 0,
    FARM_ENOMEM = -1,     /* allocation failed; nothing was changed */
    FARM_EINPUT = -2,     /* what a person wrote: an option, YAML, a data file */
    FARM_EGRAPH = -3,     /* a graph that does not type-check or is past a limit */
    FARM_EGENOME = -4,    /* genes that are not a point of the space */
    FARM_EWIRE = -5,      /* a message that does not unpack, or of another version */
    FARM_ENET = -6,       /* ZeroMQ refused; errno holds its reason */
    FARM_ESTORE = -7,     /* LMDB refused; its own sentence is in struct why */
    FARM_EBUSY = -8,      /* someone else holds it: a store in use, a queue that is full */
    FARM_EEXHAUSTED = -9, /* the search space has nothing new to propose */
    FARM_ENOTFOUND = -10, /* no such trial, key, data set */
    FARM_ECORRUPT = -11,  /* a checksum does not match */
    FARM_EVERSION = -12,  /* written by a newer or an incompatible version */
    FARM_EDENIED = -14,   /* this key does not allow it */
    FARM_EIO = -13,       /* the operating system refused; errno holds its reason */
};

/* A constant English sentence, for any int; never NULL, never to be freed. */
const char *farm_strerror(int err);

/* The sentence for a person: what is wrong with which thing, and the remedy. One line, no
 * newline at its end. Control characters in what it quotes are escaped. */
struct why {
    char text[320];
};

/* Writes the sentence (cut at the end of text if longer) and returns err, so that a parser
 * can say `return why_set(why, FARM_EINPUT, "%s:%d: ...", ...)`. why may be NULL. */
int why_set(struct why *why, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the sentence that is there; returns err. why may be NULL. */
int why_prefix(struct why *why, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
