/* Rules that a mesh as a whole keeps even when one of its brokers breaks them, so that no scenario fails without them: each is
 * asked of one core that others speak to, shown to be kept, and shown to be broken with the defect of switches.h. And the two
 * that memory and time decide: tombstones, and a disk that was set back. */
#include "gossip/codec.h"
#include "gossip/switches.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <string.h>

#define SECOND  UINT64_C(1000000)
#define OUTPUTS 4096
#define SELF    1 /* the core's own number; others are what a test says */

static struct gossip *gossip;
static uint64_t now_us;

/* What came out since the last event, item by item. */
static struct said {
    struct uuid to;
    enum gossip_output_type type;
    uint32_t boot;
    struct item item;
} said[OUTPUTS];
static size_t said_count;

/* ---- the core and those around it ---- */

static struct uuid id_of(unsigned number)
{
    struct uuid id = {{0}};

    id.bytes[0] = (uint8_t)number;
    id.bytes[15] = 7;
    return id;
}

static struct net_address address_of(unsigned number)
{
    struct net_address address;

    ck_assert(net_address_parse("10.0.0.1:9092", &address) == 0);
    address.port = (uint16_t)(9000 + number);
    return address;
}

static void sign(void *user, struct slice message, uint8_t ret_signature[GOSSIP_SIGNATURE])
{
    (void)user;
    (void)message;
    memset(ret_signature, 1, GOSSIP_SIGNATURE);
}

static bool verify(void *user, const struct uuid *id, const uint8_t public_key[GOSSIP_PUBLIC_KEY], struct slice message,
                   const uint8_t signature[GOSSIP_SIGNATURE])
{
    (void)user;
    (void)id;
    (void)public_key;
    (void)message;
    return signature[0] == 1;
}

static struct gossip_self self_of(unsigned number, uint64_t incarnation)
{
    struct gossip_self self = {.id = id_of(number), .incarnation = incarnation, .address = address_of(number), .client_port = 9092};

    snprintf(self.name, sizeof(self.name), "a-broker-with-a-name-of-its-own-%u", number);
    return self;
}

static void take(void)
{
    struct gossip_output output;

    said_count = 0;
    while (gossip_next_output(gossip, now_us, &output)) {
        struct said one = {.to = output.peer, .type = output.type, .boot = output.boot};
        struct item_reader reader;
        ck_assert(said_count < OUTPUTS);
        if (output.bytes.size == 0 || codec_open(output.bytes, &reader) != 0) {
            said[said_count++] = one;
            continue;
        }
        while (codec_next(&reader, &one.item) > 0 && said_count < OUTPUTS)
            said[said_count++] = one;
    }
}

static void begin(uint64_t defects, const struct gossip_options *changed)
{
    struct gossip_options options;

    gossip_options_init(&options);
    if (changed != NULL) options = *changed;
    options.self = self_of(SELF, UINT64_C(3) << 32);
    options.signer = (struct gossip_signer){NULL, sign, verify};
    options.seed = 5;
    now_us = 1000 * SECOND;
    ck_assert(gossip_new(&options, now_us, &gossip) == 0);
    for (int defect = 1; defect < GOSSIP_DEFECT_COUNT; defect++)
        if (defects >> defect & 1) gossip_bring_back(gossip, (enum gossip_defect)defect);
}

static void put_alive(struct item_writer *writer, unsigned number, uint64_t incarnation)
{
    struct gossip_self self = self_of(number, incarnation);
    uint8_t raw[CODEC_SELF_MAX], signature[GOSSIP_SIGNATURE];

    memset(signature, 1, sizeof(signature));
    ck_assert(codec_put_alive(writer, slice_of(raw, codec_self_encode(&self, raw)), signature));
}

static void put_accusation(struct item_writer *writer, enum item_type type, unsigned subject, uint32_t age_s, unsigned accuser)
{
    struct uuid id = id_of(subject), by = id_of(accuser);

    ck_assert(codec_put_accusation(writer, type, &id, UINT64_C(5) << 32, age_s, &by, 1));
}

static uint8_t room[GOSSIP_PACKET_MAX];

static struct item_writer packet(void)
{
    struct item_writer writer;

    codec_start(&writer, room, sizeof(room));
    return writer;
}

static void receive(unsigned from, uint32_t boot, const struct item_writer *writer)
{
    struct uuid id = id_of(from);
    struct net_address address = address_of(from);

    gossip_receive_packet(gossip, now_us, &id, boot, &address, codec_bytes(writer));
    take();
}

static void receive_by_link(unsigned from, const struct item_writer *writer)
{
    struct uuid id = id_of(from);

    gossip_receive_message(gossip, now_us, &id, codec_bytes(writer));
    take();
}

static void introduce(unsigned number)
{
    struct item_writer writer = packet();

    put_alive(&writer, number, UINT64_C(5) << 32);
    receive(number, 5, &writer);
}

/* Time passes; `seen` is called for what is said meanwhile. */
static void run(uint64_t duration_us, void (*seen)(void))
{
    uint64_t end_us = now_us + duration_us;

    while (gossip_due_us(gossip) <= end_us) {
        if (gossip_due_us(gossip) > now_us) now_us = gossip_due_us(gossip);
        gossip_tick(gossip, now_us);
        take();
        if (seen != NULL) seen();
    }
    now_us = end_us;
}

static int state_of(unsigned number)
{
    struct uuid id = id_of(number);
    const struct gossip_member *member = gossip_find(gossip, &id);

    return member == NULL ? -1 : (int)member->state;
}

static const struct said *find(enum item_type type, unsigned to)
{
    struct uuid id = id_of(to);

    for (size_t i = 0; i < said_count; i++)
        if (said[i].item.type == type && (to == 0 || uuid_equal(&said[i].to, &id))) return &said[i];
    return NULL;
}

/* ---- rules: true when kept ---- */

static unsigned probes, requests;

static void count_requests(void)
{
    for (size_t i = 0; i < said_count; i++) {
        struct uuid helper = id_of(3);
        requests += said[i].item.type == ITEM_PING_REQ && uuid_equal(&said[i].to, &helper);
    }
    if (find(ITEM_PING, 3) != NULL) { /* the helper answers what it is asked itself */
        struct item_writer writer = packet();
        ck_assert(codec_put_seq(&writer, ITEM_ACK, find(ITEM_PING, 3)->item.ping.seq));
        receive(3, 5, &writer);
    } else if (find(ITEM_PING, 2) != NULL) {
        probes++;
    }
}

/* 1.5-7: one that does not answer, and one helper: it is asked each time. */
static bool the_only_helper_is_asked(uint64_t defects)
{
    struct gossip_options options;

    gossip_options_init(&options);
    options.indirect_probes = 1;
    options.suspicion_mult = 200; /* so that it stays a member */
    probes = requests = 0;
    begin(defects, &options);
    introduce(2);
    introduce(3);
    run(60 * SECOND, count_requests);
    ck_assert(probes > 5);
    return requests + 1 >= probes;
}

/* 1.5-10: a ping meant for who was at this address before is not answered. */
static bool another_is_not_answered_for(uint64_t defects)
{
    struct item_writer writer = packet();
    struct uuid other = id_of(9);

    begin(defects, NULL);
    introduce(2);
    ck_assert(codec_put_ping(&writer, 77, &other));
    receive(2, 5, &writer);
    return find(ITEM_ACK, 0) == NULL;
}

/* 1.1, bug 1: who is held dead and speaks is told. */
static bool the_accused_is_told(uint64_t defects)
{
    struct item_writer writer = packet();
    struct uuid own = id_of(SELF);

    begin(defects, NULL);
    introduce(2);
    run(120 * SECOND, NULL);
    ck_assert_int_eq(state_of(2), GOSSIP_DEAD);
    ck_assert(codec_put_ping(&writer, 77, &own));
    for (int i = 0; i < 20; i++) { /* by then no rumour of it rides on the answers any more */
        now_us += SECOND;
        receive(2, 5, &writer);
    }
    return find(ITEM_DEAD, 2) != NULL;
}

/* 1.1, bug 2: an accusation that comes before its subject is passed on, and waits for it. */
static bool strangers_are_remembered(uint64_t defects)
{
    struct item_writer writer = packet();
    bool is_passed_on;

    begin(defects, NULL);
    introduce(2);
    introduce(3);
    put_accusation(&writer, ITEM_DEAD, 9, 0, 4);
    receive(2, 5, &writer);
    is_passed_on = find(ITEM_DEAD, 0) != NULL;
    writer = packet();
    put_alive(&writer, 9, UINT64_C(5) << 32);
    receive(2, 5, &writer);
    return is_passed_on && state_of(9) == GOSSIP_SUSPECT;
}

/* Another's word makes nobody dead that is held alive. */
static bool a_word_is_a_suspicion(uint64_t defects)
{
    struct item_writer writer = packet();

    begin(defects, NULL);
    introduce(2);
    introduce(3);
    now_us += 1000;
    put_accusation(&writer, ITEM_DEAD, 3, 0, 2);
    receive(2, 5, &writer);
    return state_of(3) == GOSSIP_SUSPECT;
}

static bool names_us;

static void look_for_own_name(void)
{
    struct uuid own = id_of(SELF);

    for (size_t i = 0; i < said_count; i++) {
        if (said[i].item.type != ITEM_SUSPECT) continue;
        for (unsigned j = 0; j < said[i].item.accusation.accuser_count; j++)
            names_us |= uuid_equal(&said[i].item.accusation.accusers[j], &own);
    }
}

/* 1.5-3: hearsay is passed on in the name of who saw it. */
static bool hearsay_keeps_its_name(uint64_t defects)
{
    struct item_writer writer = packet();

    begin(defects, NULL);
    for (unsigned i = 2; i < 9; i++)
        introduce(i);
    now_us += 1000;
    put_accusation(&writer, ITEM_SUSPECT, 3, 0, 4);
    names_us = false;
    receive(2, 5, &writer);
    look_for_own_name();
    run(SECOND / 4, look_for_own_name); /* too short for a probe of its own to fail */
    return !names_us;
}

static bool starved;

static void look_for_values(void)
{
    if (find(ITEM_ALIVE, 0) != NULL && find(ITEM_SOFT, 0) == NULL) starved = true;
}

/* 1.5-5: however much there is to say of members, soft state has its part of each packet. */
static bool soft_state_is_not_starved(uint64_t defects)
{
    uint8_t value[260] = {1};

    begin(defects, NULL);
    for (unsigned i = 2; i < 60; i++)
        introduce(i);
    starved = false;
    ck_assert(gossip_soft_set(gossip, now_us, slice_of((const uint8_t *)"load", 4), slice_of(value, sizeof(value))) == 0);
    take();
    run(SECOND / 10, look_for_values);
    return !starved;
}

/* 1.5-8: what was sealed in an earlier boot is as good as lost. */
static bool earlier_boots_are_not_heard(uint64_t defects)
{
    struct item_writer writer = packet();
    struct uuid own = id_of(SELF);

    begin(defects, NULL);
    introduce(2);
    ck_assert(codec_put_ping(&writer, 77, &own));
    receive(2, 4, &writer);
    return find(ITEM_ACK, 0) == NULL;
}

/* Rumours miss somebody now and then; a digest that differs while nothing is being said brings the whole table. */
static bool digests_are_compared(uint64_t defects)
{
    struct item_writer writer = packet();
    struct uuid peer = id_of(2);
    struct net_address address = address_of(2);
    struct gossip_options options;

    gossip_options_init(&options);
    options.probe_interval_us = 20 * SECOND; /* nobody answers probes here: no suspicion yet */
    begin(defects, &options);
    introduce(2);
    gossip_link_up(gossip, now_us, &peer, 5, &address);
    take();
    run(3 * SECOND, NULL);
    ck_assert(codec_put_digest(&writer, gossip_members_hash(gossip) + 1, gossip_soft_hash(gossip)));
    receive(2, 5, &writer);
    return find(ITEM_SYNC, 2) != NULL;
}

/* Broker 2 says its changes (from, to] with one key set, as others pass them on. */
static void tell_soft(uint64_t from, uint64_t to, uint64_t gc_version, uint64_t version, const char *key)
{
    struct item_writer writer = packet();
    struct item_soft head = {.origin = id_of(2), .boot = 5, .from = from, .to = to, .gc_version = gc_version};
    struct soft_writer changes;

    ck_assert(codec_soft_begin(&writer, &changes));
    ck_assert(codec_soft_put(&changes, &(struct soft_change){version, false, slice_of_string(key), slice_of_string("x")}));
    codec_soft_end(&changes, &head);
    receive(2, 5, &writer);
}

/* 2.4: a reset came in two pieces, and the first was lost. Among what it would have erased is "old", whose deletion its origin
 * has collected: with the second piece alone it would stay for ever. */
static bool rest_of_a_reset_waits_for_its_beginning(uint64_t defects)
{
    struct uuid origin = id_of(2);
    struct slice value;

    begin(defects, NULL);
    introduce(2);
    tell_soft(0, 4, 0, 2, "old");
    ck_assert(gossip_soft_get(gossip, &origin, slice_of_string("old"), &value));
    tell_soft(3, 20, 10, 15, "new"); /* "old" was deleted by change 6, and tombstones up to 10 are gone */
    return !gossip_soft_get(gossip, &origin, slice_of_string("new"), &value) && find(ITEM_SOFT_DIGEST, 2) != NULL;
}

/* What `teller` says of broker 2, by its link or by a packet: one key, in versions up to `to`. */
static void say_soft(unsigned teller, bool by_link, uint64_t from, uint64_t to, const char *key, const char *value)
{
    struct item_writer writer = packet();
    struct item_soft head = {.origin = id_of(2), .boot = 5, .from = from, .to = to};
    struct soft_writer changes;

    ck_assert(codec_soft_begin(&writer, &changes));
    ck_assert(codec_soft_put(&changes, &(struct soft_change){to, false, slice_of_string(key), slice_of_string(value)}));
    codec_soft_end(&changes, &head);
    if (by_link)
        receive_by_link(teller, &writer);
    else
        receive(teller, 5, &writer);
}

static bool holds_soft(const char *key, const char *value)
{
    struct uuid origin = id_of(2);
    struct slice found;

    if (!gossip_soft_get(gossip, &origin, slice_of_string(key), &found)) return value == NULL;
    return value != NULL && slice_equal(found, slice_of_string(value));
}

/* A member that relays invents a key of another, and versions far ahead. What the other says itself, when it is asked over
 * its link, makes an end of that; a packet in its name does not, nor does anybody else's link. */
START_TEST(a_lie_about_soft_state_ends_with_the_origins_own_word)
{
    struct uuid origin = id_of(2);
    struct net_address address = address_of(2);

    begin(0, NULL);
    introduce(2);
    introduce(3);
    ck_assert(!gossip_soft_confirm(gossip, now_us, &origin)); /* no link */
    gossip_link_up(gossip, now_us, &origin, 5, &address);
    take();
    say_soft(2, true, 0, 4, "offset", "100");
    ck_assert_uint_eq(gossip_soft_confirmed(gossip, &origin), 4);
    say_soft(3, true, 4, 1000000, "offset", "7");
    say_soft(3, false, 1000000, 1000001, "invented", "x");
    ck_assert(holds_soft("offset", "7") && holds_soft("invented", "x"));
    ck_assert_uint_eq(gossip_soft_confirmed(gossip, &origin), 4); /* nobody who looks takes that for its word */
    say_soft(2, true, 4, 5, "offset", "101"); /* unasked: older than what is believed */
    ck_assert(holds_soft("offset", "7"));

    ck_assert(gossip_soft_confirm(gossip, now_us, &origin));
    take();
    ck_assert_ptr_nonnull(find(ITEM_SOFT_DIGEST, 2));
    say_soft(2, false, 0, 5, "offset", "8"); /* in its name, by a packet */
    say_soft(3, true, 0, 5, "offset", "9");
    ck_assert(holds_soft("offset", "7"));
    say_soft(2, true, 0, 5, "offset", "101");
    ck_assert(holds_soft("offset", "101") && holds_soft("invented", NULL));
    ck_assert_uint_eq(gossip_soft_confirmed(gossip, &origin), 5);
    say_soft(2, true, 5, 6, "offset", "102");
    ck_assert(holds_soft("offset", "102"));
    ck_assert_uint_eq(gossip_soft_confirmed(gossip, &origin), 6);
    gossip_free(gossip);
}
END_TEST

static void claim_own_versions(unsigned teller)
{
    struct item_writer writer = packet();
    struct soft_summary summary = {.origin = id_of(SELF), .boot = 3, .version = 99};

    codec_summary_put(codec_put_summaries(&writer, 1), &summary);
    receive(teller, 5, &writer);
}

/* Who claims to know more of our own values than we have set may be right: our disk was set back. It is believed, but a
 * liar does not get a boot out of us each second. */
START_TEST(unsigned_claims_cost_few_boots)
{
    unsigned asked = 0;

    begin(0, NULL);
    introduce(2);
    for (int i = 0; i < 120; i++) {
        claim_own_versions(2);
        for (size_t j = 0; j < said_count; j++)
            asked += said[j].type == GOSSIP_OUTPUT_BOOT_BEHIND;
        now_us += SECOND;
    }
    ck_assert_uint_ge(asked, 1);
    ck_assert_uint_le(asked, 4);
    gossip_free(gossip);
}
END_TEST

#define DEFECT(name) (UINT64_C(1) << GOSSIP_DEFECT_##name)

static const struct {
    const char *name;
    bool (*is_kept)(uint64_t defects);
    uint64_t defect;
} rules[] = {
    {"1.5-3 hearsay keeps its name", hearsay_keeps_its_name, DEFECT(ACCUSER_REWRITTEN)},
    {"1.5-5 soft state is not starved", soft_state_is_not_starved, DEFECT(STARVATION)},
    {"1.5-7 the only helper is asked", the_only_helper_is_asked, DEFECT(RANDOM_HELPERS)},
    {"1.5-8 earlier boots are not heard", earlier_boots_are_not_heard, DEFECT(OLD_BOOT_ACCEPTED)},
    {"1.5-10 another is not answered for", another_is_not_answered_for, DEFECT(TARGET_UNCHECKED)},
    {"1.1-1 the accused is told", the_accused_is_told, DEFECT(ACCUSATION_NOT_RETURNED)},
    {"1.1-2 strangers are remembered", strangers_are_remembered, DEFECT(STRANGERS_IGNORED)},
    {"1.1 a word is a suspicion", a_word_is_a_suspicion, DEFECT(DEAD_BELIEVED)},
    {"2.4 the rest of a reset waits for its beginning", rest_of_a_reset_waits_for_its_beginning, DEFECT(REST_OF_RESET_TAKEN)},
    {"1.4 digests are compared", digests_are_compared, DEFECT(NO_ANTI_ENTROPY)},
};

START_TEST(each_rule_is_kept)
{
    ck_assert_msg(rules[_i].is_kept(0), "%s: it is not kept", rules[_i].name);
    gossip_free(gossip);
}
END_TEST

START_TEST(each_rule_is_broken_by_its_defect)
{
    ck_assert_msg(!rules[_i].is_kept(rules[_i].defect), "%s: it is kept with the defect too", rules[_i].name);
    gossip_free(gossip);
}
END_TEST

/* ---- tombstones ---- */

/* Tombstones stand for 100 s; broker 2 tells of broker 9, which it has held dead for age_s. */
static void hear_of_the_dead(uint32_t age_s)
{
    struct gossip_options options;
    struct item_writer writer = packet();

    gossip_options_init(&options);
    options.tombstone_us = 100 * SECOND;
    begin(0, &options);
    introduce(2);
    put_alive(&writer, 9, UINT64_C(5) << 32);
    put_accusation(&writer, ITEM_DEAD, 9, age_s, 2);
    receive(2, 5, &writer);
}

/* Who introduces a dead member says so, and since when: it dies here at once, and is forgotten when the others forget it. */
START_TEST(a_tombstone_comes_with_its_age)
{
    hear_of_the_dead(30);
    ck_assert_int_eq(state_of(9), GOSSIP_DEAD);
    run(69 * SECOND, NULL);
    ck_assert_int_eq(state_of(9), GOSSIP_DEAD);
    run(2 * SECOND, NULL);
    ck_assert_int_eq(state_of(9), -1);
    gossip_free(gossip);
}
END_TEST

/* Once half of its time is over nobody is told of it, but for itself. */
START_TEST(a_faded_tombstone_is_told_to_its_subject_alone)
{
    struct item_writer writer;

    hear_of_the_dead(60);
    run(SECOND, NULL);
    writer = packet();
    ck_assert(codec_put_sync(&writer, true));
    receive_by_link(2, &writer);
    ck_assert(find(ITEM_DEAD, 2) == NULL);
    writer = packet();
    put_alive(&writer, 9, UINT64_C(4) << 32); /* from a disk that was set back */
    receive_by_link(9, &writer);
    ck_assert(find(ITEM_DEAD, 9) != NULL);
    ck_assert(find(ITEM_ALIVE, 9) != NULL && find(ITEM_ALIVE, 9)->item.alive.incarnation == UINT64_C(5) << 32);
    gossip_free(gossip);
}
END_TEST

/* ---- a disk that was set back ---- */

static const struct said *find_behind(void)
{
    for (size_t i = 0; i < said_count; i++)
        if (said[i].type == GOSSIP_OUTPUT_BOOT_BEHIND) return &said[i];
    return NULL;
}

START_TEST(a_broker_learns_of_its_own_later_boots)
{
    struct item_writer writer = packet();

    begin(0, NULL);
    introduce(2);
    put_alive(&writer, SELF, (UINT64_C(8) << 32) + 2);
    receive(2, 5, &writer);
    ck_assert(find_behind() != NULL);
    ck_assert_uint_eq(find_behind()->boot, 8);
    receive(2, 5, &writer);
    ck_assert(find_behind() == NULL); /* once a second */
    now_us += SECOND;
    gossip_set_boot(gossip, now_us, 9);
    take();
    ck_assert(gossip_member_count(gossip) == 2);
    receive(2, 5, &writer);
    ck_assert(find_behind() == NULL); /* known by now */
    run(SECOND, NULL);
    ck_assert_int_eq(state_of(SELF), GOSSIP_ALIVE);
    gossip_free(gossip);
}
END_TEST

/* Whoever lies about it achieves nothing: what a broker says of itself is signed. */
START_TEST(a_forged_later_boot_is_no_news)
{
    struct item_writer writer = packet();
    struct gossip_self self = self_of(SELF, UINT64_C(8) << 32);
    uint8_t raw[CODEC_SELF_MAX], signature[GOSSIP_SIGNATURE] = {0};

    begin(0, NULL);
    introduce(2);
    ck_assert(codec_put_alive(&writer, slice_of(raw, codec_self_encode(&self, raw)), signature));
    receive(2, 5, &writer);
    ck_assert(find_behind() == NULL);
    gossip_free(gossip);
}
END_TEST

static void hear_left(uint64_t incarnation, uint8_t signature_first)
{
    struct item_writer writer = packet();
    uint8_t signature[GOSSIP_SIGNATURE] = {signature_first};
    struct uuid id = id_of(SELF);

    ck_assert(codec_put_left(&writer, &id, incarnation, 0, signature));
    receive(2, 5, &writer);
}

/* A directory was copied and started twice, and one of the two leaves: everybody holds their identity to have left. */
START_TEST(who_was_left_by_a_copy_takes_a_boot_above)
{
    begin(0, NULL);
    introduce(2);
    hear_left(UINT64_C(3) << 32, 0); /* forged */
    ck_assert(find_behind() == NULL);
    hear_left(UINT64_C(2) << 32, 1); /* a life before */
    ck_assert(find_behind() == NULL);
    hear_left(UINT64_C(3) << 32, 1);
    ck_assert(find_behind() != NULL);
    ck_assert_uint_eq(find_behind()->boot, 3);
    hear_left(UINT64_C(3) << 32, 1);
    ck_assert(find_behind() == NULL); /* once a second */
    now_us += SECOND;
    gossip_set_boot(gossip, now_us, 4);
    take();
    hear_left(UINT64_C(3) << 32, 1);
    ck_assert(find_behind() == NULL);
    ck_assert_int_eq(state_of(SELF), GOSSIP_ALIVE);
    gossip_free(gossip);
}
END_TEST

/* Its own word is no other's. */
START_TEST(who_leaves_does_not_come_back_for_it)
{
    begin(0, NULL);
    introduce(2);
    gossip_leave(gossip, now_us);
    take();
    hear_left(UINT64_C(3) << 32, 1);
    ck_assert(find_behind() == NULL);
    gossip_free(gossip);
}
END_TEST

/* The link comes up first, another member introduces its peer before that peer does so itself. */
START_TEST(a_link_counts_whoever_introduces_its_peer)
{
    struct item_writer news, word;
    struct uuid id = id_of(3);
    struct net_address address = address_of(3);

    begin(0, NULL);
    introduce(2);
    gossip_link_up(gossip, now_us, &id, 5, &address);
    take();
    news = packet();
    put_alive(&news, 3, UINT64_C(5) << 32);
    receive(2, 5, &news);
    ck_assert_int_eq(state_of(3), GOSSIP_ALIVE);
    word = packet();
    put_alive(&word, 3, UINT64_C(5) << 32);
    receive_by_link(3, &word);
    ck_assert(gossip_find(gossip, &id)->is_linked);
    gossip_free(gossip);
}
END_TEST

static bool was_told(enum gossip_output_type type, const struct uuid *peer)
{
    for (size_t i = 0; i < said_count; i++)
        if (said[i].type == type && uuid_equal(&said[i].to, peer)) return true;
    return false;
}

/* A process that dies may close its links a moment before its port: the first dial then reaches a port that is about to go. */
START_TEST(a_port_that_goes_after_its_links_is_asked_again)
{
    struct uuid id = id_of(2);
    struct net_address address = address_of(2);

    begin(0, NULL);
    introduce(2);
    introduce(3);
    gossip_link_up(gossip, now_us, &id, 5, &address);
    take();
    gossip_link_down(gossip, now_us, &id, GOSSIP_LINK_RESET);
    take();
    gossip_dial_failed(gossip, now_us, &address, &id, GOSSIP_DIAL_UNREACHABLE);
    take();
    ck_assert_int_eq(state_of(2), GOSSIP_ALIVE);
    ck_assert(!was_told(GOSSIP_OUTPUT_GONE, &id));
    run(50000, NULL);
    gossip_dial_failed(gossip, now_us, &address, &id, GOSSIP_DIAL_REFUSED);
    take();
    ck_assert_int_eq(state_of(2), GOSSIP_SUSPECT); /* this broker's own witness; another one's makes it dead */
    ck_assert(was_told(GOSSIP_OUTPUT_GONE, &id));
    gossip_free(gossip);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gossip rules");
    TCase *tcase = tcase_create("rules");

    tcase_add_loop_test(tcase, each_rule_is_kept, 0, sizeof(rules) / sizeof(rules[0]));
    tcase_add_loop_test(tcase, each_rule_is_broken_by_its_defect, 0, sizeof(rules) / sizeof(rules[0]));
    tcase_add_test(tcase, a_lie_about_soft_state_ends_with_the_origins_own_word);
    tcase_add_test(tcase, unsigned_claims_cost_few_boots);
    tcase_add_test(tcase, a_link_counts_whoever_introduces_its_peer);
    tcase_add_test(tcase, a_port_that_goes_after_its_links_is_asked_again);
    tcase_add_test(tcase, a_tombstone_comes_with_its_age);
    tcase_add_test(tcase, a_faded_tombstone_is_told_to_its_subject_alone);
    tcase_add_test(tcase, a_broker_learns_of_its_own_later_boots);
    tcase_add_test(tcase, a_forged_later_boot_is_no_news);
    tcase_add_test(tcase, who_was_left_by_a_copy_takes_a_boot_above);
    tcase_add_test(tcase, who_leaves_does_not_come_back_for_it);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
