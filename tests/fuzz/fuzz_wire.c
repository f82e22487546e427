/* fuzz_wire.c - the heads of messages: one byte of kind, then the head. */
#include <string.h>

#include "fuzz.h"
#include "wire_head.h"

static size_t seed_wire(unsigned which, uint8_t *out, size_t room)
{
    struct wire_lease leases[3] = {
        {{7, 8, 1}, 99, 5, true}, {{7, 9, 0}, 100, 0, false}, {{8, 1, 2}, 101, 1, true}};
    struct wire_peer_status peers[2] = {{WIRE_WORKER, "worker-1", 4, 3, 1, 77, 12, false},
                                        {WIRE_CONTROLLER, "c", 0, 0, 0, 0, 1, true}};
    struct wire_message m;
    zmq_msg_t head;
    size_t len;

    if (which + 1 >= WIRE_KIND_END)
        return 0;
    wire_message_init(&m, (enum wire_kind)(which + 1));
    switch (m.kind) {
    case WIRE_HELLO:
        m.u.hello = (struct wire_hello){.role = WIRE_WORKER,
                                        .name = "worker-1",
                                        .incarnation = 42,
                                        .version = "1",
                                        .slots = 4,
                                        .ahead = 2,
                                        .n_data = 1,
                                        .n_leases = 3,
                                        .leases = leases};
        m.u.hello.data[0] = (struct wire_data){"digits", 77, 8, 8, 1, 10, 1797, 0};
        break;
    case WIRE_WELCOME: m.u.welcome = (struct wire_welcome){42, 1000, 5000, "1"}; break;
    case WIRE_REFUSE: m.u.refuse = (struct wire_refuse){REFUSE_LIMIT, "no room"}; break;
    case WIRE_PUBLISH:
        m.u.publish = (struct wire_publish){.key = {7, 8, 1}, .again = true};
        wire_names_add(&m.u.publish.avoid, "worker-1");
        wire_names_add(&m.u.publish.never, "worker-2");
        break;
    case WIRE_WINDOW:
        m.u.window =
            (struct wire_window){.window = 9, .workers = 2, .slots = 8, .busy = 7, .queued = 3};
        break;
    case WIRE_TASK: m.u.task = leases[0]; break;
    case WIRE_RESULT:
    case WIRE_PROGRESS: m.u.result = (struct wire_result){leases[0], "worker-1"}; break;
    case WIRE_STATUS:
        m.u.status = (struct wire_status){
            .uptime_ms = 5, .done = 6, .busy_share = 0.5, .n_peers = 2, .peers = peers};
        break;
    case WIRE_DRAIN:
    case WIRE_GOODBYE:
    case WIRE_KIND_END: break;
    default:
        m.u.leases =
            (struct wire_leases){.demand = 3, .n = 3, .leases = leases, .sentence = "because"};
        break;
    }
    FUZZ_HOLDS(wire_head_pack(&m, &head) == FARM_OK);
    out[0] = (uint8_t)m.kind;
    len = 1 + fuzz_copy(out + 1, room - 1, zmq_msg_data(&head), zmq_msg_size(&head));
    zmq_msg_close(&head);
    return len;
}

static bool one_wire(const uint8_t *bytes, size_t len)
{
    struct wire_message m, again;
    struct why why = {""};
    zmq_msg_t head;
    bool ok;

    if (len == 0 || bytes[0] == 0 || bytes[0] >= WIRE_KIND_END)
        return false;
    wire_message_init(&m, (enum wire_kind)bytes[0]);
    ok = wire_head_unpack(&m, bytes + 1, len - 1, &why) == FARM_OK;
    if (ok) {
        FUZZ_HOLDS(wire_head_pack(&m, &head) == FARM_OK);
        wire_message_init(&again, m.kind);
        FUZZ_HOLDS(wire_head_unpack(&again, zmq_msg_data(&head), zmq_msg_size(&head), &why) ==
                   FARM_OK);
        wire_message_release(&again);
        zmq_msg_close(&head);
    } else {
        FUZZ_HOLDS(why.text[0] != '\0');
    }
    wire_message_release(&m);
    return ok;
}

const struct fuzz_target fuzz_wire = {"wire", "the heads of messages", seed_wire, one_wire};
