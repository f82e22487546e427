/* cmd_keygen.c - makes the keys of a farm: a folder for all of them, or one more. */
#include <errno.h>
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
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct keygen_args *args = state->input;
    switch (key) {
    case 'r': args->role = arg; return 0;
    case 'n': args->name = arg; return 0;
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

static int make_folder(const char *path, struct why *why)
{
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return FARM_OK;
    return why_set(why, FARM_EINPUT, "cannot make the folder %s: %s", path, strerror(errno));
}

/* FOLDER/NAME_secret, and the public one: FOLDER/allow/NAME of a peer, FOLDER/NAME of a broker, which peers are given. */
static int paths_of(const char *folder, enum certificate_role role, const char *name,
                    char secret[PATH_BYTES], char open_to_all[PATH_BYTES], struct why *why)
{
    const char *allow = role == CERTIFICATE_BROKER ? "" : "allow/";
    if (snprintf(secret, PATH_BYTES, "%s/%s_secret", folder, name) >= PATH_BYTES ||
        snprintf(open_to_all, PATH_BYTES, "%s/%s%s", folder, allow, name) >= PATH_BYTES)
        return why_set(why, FARM_EINPUT, "the folder's path is too long");
    return FARM_OK;
}

static int check_free(const char *folder, enum certificate_role role, struct why *why)
{
    char secret[PATH_BYTES], open_to_all[PATH_BYTES];
    int rc = paths_of(folder, role, certificate_role_name(role), secret, open_to_all, why);
    if (rc == FARM_OK && (access(secret, F_OK) == 0 || access(open_to_all, F_OK) == 0))
        rc = why_set(why, FARM_EINPUT,
                     "%s has keys already, and none is overwritten: choose another folder, or "
                     "add one by --role and --name",
                     folder);
    return rc;
}

static int make_one(const char *folder, enum certificate_role role, const char *name,
                    struct why *why)
{
    char secret[PATH_BYTES], open_to_all[PATH_BYTES];
    struct certificate certificate;
    int rc = paths_of(folder, role, name, secret, open_to_all, why);
    if (rc != FARM_OK || (rc = certificate_create(&certificate, role, name, why)) != FARM_OK)
        return rc;
    if ((rc = certificate_save(&certificate, secret, true, why)) == FARM_OK &&
        (rc = certificate_save(&certificate, open_to_all, false, why)) != FARM_OK)
        (void)unlink(secret); /* made just now, and of no use alone */
    certificate_forget(&certificate);
    if (rc == FARM_OK)
        printf("%-10s  secret %s  public %s\n", certificate_role_name(role), secret, open_to_all);
    return rc;
}

static int make_all(const char *folder, struct why *why)
{
    int rc = FARM_OK;
    for (int role = CERTIFICATE_CONTROLLER; role <= CERTIFICATE_BROKER && rc == FARM_OK; role++)
        rc = check_free(folder, (enum certificate_role)role, why);
    for (int role = CERTIFICATE_CONTROLLER; role <= CERTIFICATE_BROKER && rc == FARM_OK; role++)
        rc = make_one(folder, (enum certificate_role)role,
                      certificate_role_name((enum certificate_role)role), why);
    return rc;
}

int cmd_keygen(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"role", 'r', "ROLE", 0,
         "one key only: of a broker, controller, worker or observer (default: one of each)", 0},
        {"name", 'n', "NAME", 0, "of that key's files (default: the role)", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "DIR",
        .doc = "Makes the keys of a farm. DIR/..._secret are for the programs (--key), one each; "
               "DIR/broker is for all who connect (--server-key); DIR/allow is for the broker "
               "(--allow). Nothing is overwritten.\v"
               "Examples:\n"
               "  nasfarm keygen keys\n"
               "  nasfarm keygen keys --role worker --name gpu-7\n"
               "  rm keys/allow/gpu-7                    that key is out, within a second\n"};
    struct keygen_args args = {0};
    char allow[PATH_BYTES];
    struct why why = {""};
    cli_parse(&argp, "keygen", argc, argv, &args);
    int rc = snprintf(allow, sizeof allow, "%s/allow", args.folder) < PATH_BYTES
                 ? FARM_OK
                 : why_set(&why, FARM_EINPUT, "the folder's path is too long");
    if (rc == FARM_OK && (rc = make_folder(args.folder, &why)) == FARM_OK &&
        (rc = make_folder(allow, &why)) == FARM_OK)
        rc = args.role == NULL ? make_all(args.folder, &why)
                               : make_one(args.folder, certificate_role_named(args.role),
                                          args.name != NULL ? args.name : args.role, &why);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}
