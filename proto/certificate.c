/* certificate.c - see certificate.h. */
#include "certificate.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "wire.h"

#define FILE_BYTES 16384 /* no certificate is longer */

_Static_assert((int)CERTIFICATE_WORKER == (int)WIRE_WORKER &&
                   (int)CERTIFICATE_CONTROLLER == (int)WIRE_CONTROLLER &&
                   (int)CERTIFICATE_OBSERVER == (int)WIRE_OBSERVER,
               "roles are those of the wire");

static const char *const role_names[] = {
    [CERTIFICATE_NO_ROLE] = "",
    [CERTIFICATE_WORKER] = "worker",
    [CERTIFICATE_CONTROLLER] = "controller",
    [CERTIFICATE_OBSERVER] = "observer",
    [CERTIFICATE_BROKER] = "broker",
};

const char *certificate_role_name(enum certificate_role role)
{
    return role_names[role];
}

enum certificate_role certificate_role_named(const char *name)
{
    for (int i = CERTIFICATE_CONTROLLER; i <= CERTIFICATE_BROKER; i++)
        if (strcmp(role_names[i], name) == 0)
            return (enum certificate_role)i;
    return CERTIFICATE_NO_ROLE;
}

int certificate_create(struct certificate *out, enum certificate_role role, const char *name,
                       struct why *why)
{
    memset(out, 0, sizeof *out);
    if (!wire_name_ok(name))
        return why_set(why, FARM_EINPUT, "'%.64s': a name has 1 to %u of A-Z a-z 0-9 . _ -", name,
                       LIMIT_NAME);
    (void)snprintf(out->name, sizeof out->name, "%s", name);
    out->role = role;
    if (zmq_curve_keypair(out->public_key, out->secret_key) != 0)
        return why_set(why, FARM_EIO, "no keys from this libzmq: %s", zmq_strerror(errno));
    return FARM_OK;
}

void certificate_forget(struct certificate *self)
{
    sodium_memzero(self->secret_key, sizeof self->secret_key);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static bool write_text(const struct certificate *self, FILE *file, bool with_secret)
{
    char now[32] = "";
    struct tm utc;
    time_t t = time(NULL);

    if (gmtime_r(&t, &utc) != NULL)
        (void)strftime(now, sizeof now, "%Y-%m-%d %H:%M:%S", &utc);
    (void)fprintf(file, "#   ****  Generated on %s UTC by nasfarm  ****\n", now);
    (void)fputs(with_secret ? "#   ZeroMQ CURVE **Secret** Certificate\n"
                              "#   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its "
                              "permissions.\n\n"
                            : "#   ZeroMQ CURVE Public Certificate\n"
                              "#   Exchange securely, or use a secure mechanism to verify the "
                              "contents\n"
                              "#   of this file after exchange.\n\n",
                file);
    (void)fprintf(file, "metadata\n    name = \"%s\"\n    role = \"%s\"\ncurve\n", self->name,
                  certificate_role_name(self->role));
    (void)fprintf(file, "    public-key = \"%s\"\n", self->public_key);
    if (with_secret)
        (void)fprintf(file, "    secret-key = \"%s\"\n", self->secret_key);
    return fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
}

int certificate_save(const struct certificate *self, const char *path, bool with_secret,
                     struct why *why)
{
    int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, with_secret ? 0600 : 0644);
    FILE *file;
    bool written;

    if (fd < 0 && errno == EEXIST)
        return why_set(why, FARM_EINPUT,
                       "%s is there already, and no key is overwritten: move it away, or choose "
                       "another name",
                       path);
    if (fd < 0)
        return why_set(why, FARM_EIO, "cannot write %s: %s", path, strerror(errno));
    if ((file = fdopen(fd, "w")) == NULL) {
        (void)close(fd);
        return why_set(why, FARM_ENOMEM, "out of memory");
    }
    written = write_text(self, file, with_secret);
    if (fclose(file) == 0 && written)
        return FARM_OK;
    (void)unlink(path);
    return why_set(why, FARM_EIO, "cannot write %s: %s", path, strerror(errno));
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static bool is_key(const char *text)
{
    uint8_t bytes[32];
    bool ok = strlen(text) == CERTIFICATE_KEY && zmq_z85_decode(bytes, text) != NULL;

    sodium_memzero(bytes, sizeof bytes);
    return ok;
}

/* `    name = "value"` or `    name = value`; the quotes may hold a '#', which Z85 has. False: no such line. */
static bool split_line(char *line, char **name, char **value)
{
    char *equals = strchr(line, '='), *end;

    if (equals == NULL)
        return false;
    *name = line + strspn(line, " \t");
    for (end = equals; end > *name && isspace((unsigned char)end[-1]);)
        end--;
    *end = '\0';
    *value = equals + 1 + strspn(equals + 1, " \t");
    if (**value == '"' || **value == '\'') {
        char quote = *(*value)++;

        if ((end = strchr(*value, quote)) == NULL)
            return false;
    } else {
        end = *value + strcspn(*value, " \t\r#");
    }
    *end = '\0';
    return true;
}

static int take_value(struct certificate *out, const char *section, const char *name,
                      const char *value, struct why *why)
{
    bool curve = strcmp(section, "curve") == 0, metadata = strcmp(section, "metadata") == 0;

    if (curve && (strcmp(name, "public-key") == 0 || strcmp(name, "secret-key") == 0)) {
        if (!is_key(value))
            return why_set(why, FARM_EINPUT, "its %.10s is none: a key has %d characters of Z85",
                           name, CERTIFICATE_KEY);
        (void)snprintf(name[0] == 'p' ? out->public_key : out->secret_key, sizeof out->public_key,
                       "%s", value);
    } else if (metadata && strcmp(name, "name") == 0) {
        if (!wire_name_ok(value))
            return why_set(why, FARM_EINPUT, "its name is none: 1 to %u of A-Z a-z 0-9 . _ -",
                           LIMIT_NAME);
        (void)snprintf(out->name, sizeof out->name, "%s", value);
    } else if (metadata && strcmp(name, "role") == 0 &&
               (out->role = certificate_role_named(value)) == CERTIFICATE_NO_ROLE) {
        return why_set(why, FARM_EINPUT,
                       "its role '%.32s' is none: controller, worker, observer or broker", value);
    }
    return FARM_OK; /* what else people note in a certificate is theirs */
}

static int take_text(struct certificate *out, char *text, struct why *why)
{
    char section[16] = "", *rest = text, *line, *name, *value;
    int rc = FARM_OK;

    while (rc == FARM_OK && (line = strsep(&rest, "\n")) != NULL) {
        size_t indent = strspn(line, " \t");

        if (line[indent] == '\0' || line[indent] == '#' || line[indent] == '\r')
            continue;
        if (indent == 0) {
            line[strcspn(line, " \t\r#")] = '\0';
            (void)snprintf(section, sizeof section, "%.15s", line);
        } else if (split_line(line, &name, &value)) {
            rc = take_value(out, section, name, value, why);
        }
    }
    if (rc == FARM_OK && out->public_key[0] == '\0')
        rc = why_set(why, FARM_EINPUT,
                     "no public-key in a section `curve`: `nasfarm keygen` makes such files");
    return rc;
}

/* Secrets are their owner's alone. What a secret manager mounts is root's, and open to a group at most. */
static int check_owner(int fd, struct why *why)
{
    struct stat s;

    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode))
        return why_set(why, FARM_EINPUT, "not a file");
    if (s.st_uid != geteuid() && s.st_uid != 0)
        return why_set(why, FARM_EINPUT,
                       "a secret key that belongs to user %u, not to this one (%u): chown it",
                       (unsigned)s.st_uid, (unsigned)geteuid());
    if ((s.st_mode & 0027) != 0 || ((s.st_mode & 0040) != 0 && s.st_uid == geteuid()))
        return why_set(why, FARM_EINPUT,
                       "a secret key that others can read (mode %04o): `chmod 600` it, and take "
                       "a new one if they could for long",
                       (unsigned)s.st_mode & 07777);
    return FARM_OK;
}

static int read_text(char *text, size_t size, const char *path, bool with_secret, struct why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = 0;
    size_t len = 0;
    int rc;

    if (fd < 0)
        return why_set(why, errno == ENOENT || errno == EACCES ? FARM_EINPUT : FARM_EIO, "%s",
                       strerror(errno));
    rc = with_secret ? check_owner(fd, why) : FARM_OK;
    while (rc == FARM_OK && len < size && (n = read(fd, text + len, size - len)) > 0)
        len += (size_t)n;
    if (rc == FARM_OK && n < 0)
        rc = why_set(why, FARM_EIO, "%s", strerror(errno));
    if (rc == FARM_OK && len == size)
        rc = why_set(why, FARM_EINPUT, "no certificate: it is longer than %d bytes", FILE_BYTES);
    (void)close(fd);
    text[len < size ? len : size - 1] = '\0';
    return rc;
}

int certificate_load(struct certificate *out, const char *path, bool with_secret, struct why *why)
{
    char text[FILE_BYTES];
    int rc;

    memset(out, 0, sizeof *out);
    rc = read_text(text, sizeof text, path, with_secret, why);
    if (rc == FARM_OK)
        rc = take_text(out, text, why);
    sodium_memzero(text, sizeof text);
    if (rc == FARM_OK && with_secret && out->secret_key[0] == '\0')
        rc = why_set(why, FARM_EINPUT,
                     "only a public key: the secret one is in the file whose name ends in _secret");
    if (!with_secret || rc != FARM_OK)
        certificate_forget(out);
    return rc == FARM_OK ? rc : why_prefix(why, rc, "%s", path);
}
