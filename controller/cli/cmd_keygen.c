/* cmd_keygen.c - makes the keys of a farm: a folder for all of them, or one more. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificate.h"
#include "cli.h"
#include "wire.h"

#define PATH_BYTES 1024

struct keygen_args {
    const char *folder, *role, *name;
    bool missing, apart;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct keygen_args *args = state->input;
    switch (key) {
    case 'r': args->role = arg; return 0;
    case 'n': args->name = arg; return 0;
    case 'm': args->missing = true; return 0;
    case 'a': args->apart = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "\"%s\" is one argument too many", arg);
        args->folder = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->folder == NULL)
            argp_error(state, "give the folder of the keys");
        if (args->role != NULL && certificate_role_named(args->role) == CERTIFICATE_NO_ROLE)
            argp_error(state, "--role %s: must be broker, controller, worker or observer",
                       args->role);
        if (args->name != NULL && args->role == NULL)
            argp_error(state, "--name needs --role");
        if (args->name != NULL && !wire_name_ok(args->name))
            argp_error(state, "--name %s: must be 1 to %u of the characters A-Z a-z 0-9 . _ -",
                       args->name, LIMIT_NAME);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ---- which file goes where ------------------------------------------------------------------------------------ */

#define PUBLIC_MAX 4 /* one for the broker itself, one for each role that is given it */

/* One key of the farm and its files. In one folder: NAME_secret; the public one in allow/ for a peer, beside it for a broker. Apart, each role has
 * such a folder of its own, that holds what its programs need and no more: the broker's has allow/, the others a copy of the
 * broker's public certificate. */
struct key_files {
    enum certificate_role role;
    const char *name;
    char secret[PATH_BYTES];
    char open_to_all[PUBLIC_MAX][PATH_BYTES]; /* all with the same in them */
    size_t n_open;
};

static int set_path(char path[PATH_BYTES], const struct keygen_args *args,
                    enum certificate_role role, const char *file, const char *end, struct why *why)
{
    int n = args->apart ? snprintf(path, PATH_BYTES, "%s/%s/%s%s", args->folder,
                                   certificate_role_name(role), file, end)
                        : snprintf(path, PATH_BYTES, "%s/%s%s", args->folder, file, end);
    return n < PATH_BYTES ? FARM_OK : why_set(why, FARM_EINPUT, "the folder's path is too long");
}

static int find_files(struct key_files *out, const struct keygen_args *args,
                      enum certificate_role role, const char *name, struct why *why)
{
    char allow[LIMIT_NAME + sizeof "allow/"];
    bool peer = role != CERTIFICATE_BROKER;

    *out = (struct key_files){.role = role, .name = name, .n_open = 1};
    (void)snprintf(allow, sizeof allow, "%s%s", peer ? "allow/" : "", name);
    int rc = set_path(out->secret, args, role, name, "_secret", why);
    if (rc == FARM_OK)
        rc = set_path(out->open_to_all[0], args, CERTIFICATE_BROKER, allow, "", why);
    for (int r = CERTIFICATE_CONTROLLER;
         args->apart && !peer && r < CERTIFICATE_BROKER && rc == FARM_OK; r++)
        rc = set_path(out->open_to_all[out->n_open++], args, (enum certificate_role)r, name, "",
                      why);
    return rc;
}

static int make_folder(const char *path, mode_t mode, struct why *why)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return FARM_OK;
    return why_set(why, FARM_EINPUT, "cannot make the folder %s: %s", path, strerror(errno));
}

static int make_folders(const struct keygen_args *args, struct why *why)
{
    char path[PATH_BYTES];
    int rc = make_folder(args->folder, 0755, why);
    for (int r = CERTIFICATE_CONTROLLER; args->apart && r <= CERTIFICATE_BROKER && rc == FARM_OK;
         r++)
        if ((rc = set_path(path, args, (enum certificate_role)r, "", "", why)) == FARM_OK)
            rc = make_folder(path, 0700, why);
    if (rc == FARM_OK &&
        (rc = set_path(path, args, CERTIFICATE_BROKER, "allow", "", why)) == FARM_OK)
        rc = make_folder(path, 0755, why);
    return rc;
}

/* ---- making and keeping --------------------------------------------------------------------------------------- */

static int check_free(const struct keygen_args *args, const struct key_files *files,
                      struct why *why)
{
    bool there = access(files->secret, F_OK) == 0;
    for (size_t i = 0; i < files->n_open; i++)
        there = there || access(files->open_to_all[i], F_OK) == 0;
    if (!there)
        return FARM_OK;
    return why_set(
        why, FARM_EINPUT,
        "%s has keys already, and none is overwritten: choose another folder, add one by "
        "--role and --name, or make only those that are missing by --missing",
        args->folder);
}

/* Public files follow the secret that they belong to: what else lies there is replaced. */
static int save_open(const struct key_files *files, const struct certificate *certificate,
                     struct why *why)
{
    int rc = FARM_OK;
    for (size_t i = 0; i < files->n_open && rc == FARM_OK; i++) {
        struct certificate old;
        struct why damaged;
        const char *path = files->open_to_all[i];
        if (certificate_load(&old, path, false, &damaged) == FARM_OK &&
            strcmp(old.public_key, certificate->public_key) == 0)
            continue;
        (void)unlink(path);
        rc = certificate_save(certificate, path, false, why);
    }
    return rc;
}

/* The secret comes last: where it is, its public files have been written, and one that is missing was taken away by somebody. */
static int make_one(const struct key_files *files, struct why *why)
{
    struct certificate certificate;
    int rc = certificate_create(&certificate, files->role, files->name, why);
    if (rc != FARM_OK)
        return rc;
    if ((rc = save_open(files, &certificate, why)) == FARM_OK)
        rc = certificate_save(&certificate, files->secret, true, why);
    for (size_t i = 0; rc != FARM_OK && i < files->n_open; i++)
        (void)unlink(files->open_to_all[i]); /* made just now, and of no use alone */
    certificate_forget(&certificate);
    if (rc == FARM_OK)
        printf("%-10s  secret %s  public %s\n", certificate_role_name(files->role), files->secret,
               files->open_to_all[0]);
    return rc;
}

/* A broker's public certificate is put again where it is missing. A peer's is not: whoever took it out of the allow list wants
 * that key to stay outside; only with a new broker a new list begins. */
static int keep_one(const struct key_files *files, bool new_broker, struct why *why)
{
    struct certificate certificate;
    const char *kind = certificate_role_name(files->role), *note = "";
    int rc = certificate_load(&certificate, files->secret, true, why);
    if (rc != FARM_OK)
        return rc;
    if (certificate.role != files->role)
        rc = why_set(why, FARM_EINPUT, "%s is not a %s's key", files->secret, kind);
    else if (files->role == CERTIFICATE_BROKER || new_broker)
        rc = save_open(files, &certificate, why);
    else if (access(files->open_to_all[0], F_OK) != 0)
        note = ", and stays out of the allow list";
    certificate_forget(&certificate);
    if (rc == FARM_OK)
        printf("%-10s  secret %s  kept%s\n", kind, files->secret, note);
    return rc;
}

/* The roles from first to last, each key of its role's name, unless one is given. */
static int make_roles(const struct keygen_args *args, int first, int last, struct why *why)
{
    struct key_files files[CERTIFICATE_BROKER + 1] = {{0}};
    bool new_broker;
    int rc = FARM_OK;
    for (int r = first; r <= last && rc == FARM_OK; r++) {
        enum certificate_role role = (enum certificate_role)r;
        const char *name = args->name != NULL ? args->name : certificate_role_name(role);
        rc = find_files(&files[r], args, role, name, why);
        if (rc == FARM_OK && !args->missing)
            rc = check_free(args, &files[r], why);
    }
    if (rc != FARM_OK)
        return rc;
    new_broker = last == CERTIFICATE_BROKER && access(files[last].secret, F_OK) != 0;
    for (int r = first; r <= last && rc == FARM_OK; r++)
        rc = access(files[r].secret, F_OK) == 0 ? keep_one(&files[r], new_broker, why)
                                                : make_one(&files[r], why);
    return rc;
}

int cmd_keygen(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"role", 'r', "ROLE", 0,
         "one key only: of a broker, controller, worker or observer (default: one of each)", 0},
        {"name", 'n', "NAME", 0, "of that key's files (default: the role)", 0},
        {"missing", 'm', NULL, 0,
         "keep the keys that are there, and make those that are not; a key that was taken out of "
         "the allow list stays out",
         0},
        {"apart", 'a', NULL, 0,
         "a folder for each role, DIR/broker, DIR/worker and so on, with what its programs need "
         "and no other role's secret: for containers, which then mount one of them",
         0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "DIR",
        .doc = "Makes the keys of a farm. DIR/..._secret are for the programs (--key), one each; "
               "DIR/broker is for all who connect (--server-key); DIR/allow is for the broker "
               "(--allow). No secret is overwritten.\v"
               "Examples:\n"
               "  nasfarm keygen keys\n"
               "  nasfarm keygen keys --role worker --name gpu-7\n"
               "  rm keys/allow/gpu-7                    that key is out, within a second\n"
               "  nasfarm keygen --apart --missing keys  at each start of a farm in containers\n"};
    struct keygen_args args = {0};
    struct why why = {""};
    cli_parse(&argp, "keygen", argc, argv, &args);
    int role = args.role != NULL ? (int)certificate_role_named(args.role) : CERTIFICATE_NO_ROLE;
    int rc = make_folders(&args, &why);
    if (rc == FARM_OK)
        rc = role == CERTIFICATE_NO_ROLE
                 ? make_roles(&args, CERTIFICATE_CONTROLLER, CERTIFICATE_BROKER, &why)
                 : make_roles(&args, role, role, &why);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}
