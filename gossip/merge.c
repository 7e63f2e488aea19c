#include "gossip/merge.h"

#include "base/assert.h"
#include "gossip/links.h"
#include "gossip/mail.h"
#include "gossip/outbox.h"
#include "gossip/probe.h"
#include "gossip/soft.h"
#include "gossip/spread.h"
#include "gossip/strangers.h"
#include "gossip/table.h"

#define CONFLICT_INTERVAL_US 1000000 /* between two reports of another process with this identity */

void merge_sign_self(struct gossip *gossip)
{
    struct member *self = gossip->self;
    uint8_t message[CODEC_SIGNED_MAX];

    self->raw_size = (uint16_t)codec_self_encode(&self->shown.self, self->raw);
    gossip->options.signer.sign(gossip->options.signer.user,
                                slice_of(message, codec_signed_self(slice_of(self->raw, self->raw_size), message)),
                                self->signature);
    table_rehash(gossip, self);
}

/* ---- what only the subject can say ---- */

static bool is_signed_self(struct gossip *gossip, const struct item *item, const struct gossip_self *self)
{
    const struct gossip_signer *signer = &gossip->options.signer;
    uint8_t message[CODEC_SIGNED_MAX];

    if (signer->verify(signer->user, &self->id, self->public_key,
                       slice_of(message, codec_signed_self(item->alive.raw, message)), item->alive.signature))
        return true;
    gossip->stats.bad_signature++;
    return false;
}

/* Makes a place in a full table: the oldest tombstone that nobody has registered. */
static bool forget_oldest(struct gossip *gossip)
{
    struct member *oldest = NULL;

    for (uint32_t i = 0; i < gossip->member_count; i++) {
        struct member *member = gossip->members[i];
        if (member_is_live(member) || member->shown.is_registered || member == gossip->self) continue;
        if (oldest == NULL || member->died_us < oldest->died_us) oldest = member;
    }
    if (oldest == NULL) return false;
    merge_forget(gossip, oldest);
    return true;
}

static struct member *add_member(struct gossip *gossip, const struct uuid *id)
{
    struct member *member = NULL;

    if (gossip->member_count >= GOSSIP_MEMBERS_MAX && !forget_oldest(gossip)) {
        gossip->stats.refused_members++;
        return NULL;
    }
    if (table_add(gossip, id, &member) != 0) gossip->stats.refused_members++;
    return member;
}

/* A new boot is a new process: what was known of the one before it is void. */
static void begin_boot(struct gossip *gossip, struct member *member)
{
    soft_clear(gossip, member);
    member->shown.is_udp_blocked = false;
    member->shown.rtt_us = 0;
    member->udp_misses = 0;
    member->reset_us = 0;
}

static void revive(struct gossip *gossip, struct member *member)
{
    member->shown.state = GOSSIP_ALIVE;
    member->shown.changed_us = gossip->now_us;
    member->suspicion.accuser_count = 0;
    member->observer_count = 0;
    member->has_observed = false;
    member->died_us = 0;
    member->is_faded = false;
    timers_cancel(&gossip->timers, &member->suspicion_timer);
    timers_cancel(&gossip->timers, &member->reap_timer);
    spread_cancel(gossip, member, SPREAD_STATE);
    spread_cancel(gossip, member, SPREAD_GONE);
    if (member->pool_index != 0) return;
    mail_join(gossip, member);
    table_pool_add(gossip, member);
    links_member_lives(gossip, member);
}

static void take_self(struct gossip *gossip, struct member *member, const struct item *item,
                      const struct gossip_self *self, bool is_new)
{
    enum gossip_state was = member->shown.state;

    if (!is_new && boot_of(self->incarnation) != boot_of(member->shown.self.incarnation)) begin_boot(gossip, member);
    member->shown.self = *self;
    memcpy(member->raw, item->alive.raw.data, item->alive.raw.size);
    member->raw_size = (uint16_t)item->alive.raw.size;
    memcpy(member->signature, item->alive.signature, GOSSIP_SIGNATURE);
    if (is_new) member->met_us = gossip->now_us;
    if (is_new || was != GOSSIP_ALIVE)
        revive(gossip, member);
    table_rehash(gossip, member);
    outbox_report(gossip, member, was, is_new);
    spread_announce(gossip, member, SPREAD_SELF, was != GOSSIP_ALIVE ? SPREAD_REFUTATION : SPREAD_NEWS, SPREAD_HEARD);
    strangers_apply(gossip, member);
}

/* The same incarnation, signed with other words: as one process signs each but once, there are two. It is told, and changes
 * nothing: which of them is right, only people can know. The wrong are not worth a signature's check each time. */
static void look_for_twin(struct gossip *gossip, const struct member *member, const struct item *item)
{
    struct gossip_self other;

    if (item->alive.incarnation != member->shown.self.incarnation || slice_equal(item->alive.raw, slice_of(member->raw, member->raw_size)))
        return;
    if (gossip->twin_us != 0 && gossip->now_us - gossip->twin_us < CONFLICT_INTERVAL_US) return;
    gossip->twin_us = gossip->now_us;
    if (codec_self_decode(item->alive.raw, &other) == 0 && is_signed_self(gossip, item, &other))
        outbox_push_plain(gossip, GOSSIP_OUTPUT_TWIN, member_id(member), &other.address);
}

void merge_boot_behind(struct gossip *gossip, uint32_t boot)
{
    struct pending pending = {.type = PENDING_PLAIN, .plain = GOSSIP_OUTPUT_BOOT_BEHIND, .index = boot};

    if (gossip->is_leaving || boot < boot_of(gossip->self->shown.self.incarnation)) return;
    if (gossip->conflict_us != 0 && gossip->now_us - gossip->conflict_us < CONFLICT_INTERVAL_US) return;
    gossip->conflict_us = gossip->now_us;
    outbox_push(gossip, &pending);
}

/* What this process has not signed another one has: of an older disk's future, or of a copy of it. What is newest wins, so
 * this one needs a boot of its own above that. */
static void on_other_self(struct gossip *gossip, const struct item *item)
{
    struct member *self = gossip->self;
    struct gossip_self other;

    if (gossip->is_leaving) return;
    if (item->alive.incarnation <= self->shown.self.incarnation) {
        look_for_twin(gossip, self, item);
        return;
    }
    if (gossip->conflict_us != 0 && gossip->now_us - gossip->conflict_us < CONFLICT_INTERVAL_US) return;
    if (codec_self_decode(item->alive.raw, &other) != 0 || !is_signed_self(gossip, item, &other)) return;
    if (!net_address_equal(&other.address, &self->shown.self.address))
        outbox_push_plain(gossip, GOSSIP_OUTPUT_TWIN, member_id(self), &other.address);
    merge_boot_behind(gossip, boot_of(item->alive.incarnation));
}

void merge_alive(struct gossip *gossip, const struct item *item)
{
    struct member *member = table_find(gossip, &item->alive.id);
    struct gossip_self self;
    bool is_new = member == NULL;

    if (member == gossip->self) {
        on_other_self(gossip, item);
        return;
    }
    if (member != NULL && item->alive.incarnation <= member->shown.self.incarnation &&
        !(GOSSIP_DEFECT(gossip, LAST_WORD) && item->alive.incarnation != member->shown.self.incarnation)) {
        outbox_tell(gossip, member);
        look_for_twin(gossip, member, item);
        if (GOSSIP_DEFECT(gossip, KNOWN_IS_NEWS) && member->shown.state == GOSSIP_ALIVE)
            spread_announce(gossip, member, SPREAD_SELF, SPREAD_NEWS, SPREAD_HEARD);
        return;
    }
    /* Who has left has left for that boot. */
    if (member != NULL && member->shown.state == GOSSIP_LEFT &&
        boot_of(item->alive.incarnation) == boot_of(member->shown.self.incarnation))
        return;
    if (codec_self_decode(item->alive.raw, &self) != 0) {
        gossip->stats.malformed++;
        return;
    }
    if (!is_signed_self(gossip, item, &self)) return;
    if (is_new) member = add_member(gossip, &self.id);
    if (member != NULL) take_self(gossip, member, item, &self, is_new);
}

/* Out of the pool, into the tombstones. */
static void bury(struct gossip *gossip, struct member *member, enum gossip_state state, uint32_t age_s)
{
    uint64_t age_us = (uint64_t)age_s * 1000000, keep_us = gossip->options.tombstone_us / 2;
    enum gossip_state was = member->shown.state;

    if (member->pool_index != 0) {
        table_pool_remove(gossip, member);
        mail_part(gossip, member);
        probe_drop(gossip, member);
    }
    timers_cancel(&gossip->timers, &member->suspicion_timer);
    spread_cancel(gossip, member, SPREAD_SELF);
    spread_cancel(gossip, member, SPREAD_VALUES);
    member->shown.state = state;
    member->shown.changed_us = gossip->now_us;
    member->died_us = age_us < gossip->now_us ? gossip->now_us - age_us : 0;
    timers_arm(&gossip->timers, &member->reap_timer,
               member->died_us + keep_us > gossip->now_us ? member->died_us + keep_us : gossip->now_us);
    table_rehash(gossip, member);
    outbox_report(gossip, member, was, false);
    links_changed(gossip);
}

static void die(struct gossip *gossip, struct member *member, uint32_t age_s, enum spread_reach reach)
{
    gossip->stats.deaths++;
    bury(gossip, member, GOSSIP_DEAD, age_s);
    if (GOSSIP_DEFECT(gossip, DEATH_IS_LOCAL)) {
        merge_forget(gossip, member);
        return;
    }
    spread_announce(gossip, member, SPREAD_STATE, SPREAD_ACCUSATION, reach);
    outbox_push(gossip, &(struct pending){.type = PENDING_TELL, .member = member});
    links_member_died(gossip, member);
}

static bool is_signed_left(struct gossip *gossip, const struct member *member, const struct item *item)
{
    const struct gossip_signer *signer = &gossip->options.signer;
    uint8_t message[CODEC_SIGNED_MAX];
    struct slice words = slice_of(message, codec_signed_leave(&item->left.subject, item->left.incarnation, message));

    if (signer->verify(signer->user, member_id(member), member->shown.self.public_key, words, item->left.signature)) return true;
    gossip->stats.bad_signature++;
    return false;
}

/* This process has not left: another one has, on a copy of its disk. Who believes that asks it no more, so it needs a boot above that. */
static void on_other_self_left(struct gossip *gossip, const struct item *item)
{
    if (gossip->is_leaving || item->left.incarnation < gossip->self->shown.self.incarnation) return;
    if (gossip->conflict_us != 0 && gossip->now_us - gossip->conflict_us < CONFLICT_INTERVAL_US) return;
    if (is_signed_left(gossip, gossip->self, item)) merge_boot_behind(gossip, boot_of(item->left.incarnation));
}

void merge_left(struct gossip *gossip, const struct item *item)
{
    struct member *member = table_find(gossip, &item->left.subject);

    if (member == gossip->self) {
        on_other_self_left(gossip, item);
        return;
    }
    if (member == NULL || member->shown.state == GOSSIP_LEFT || item->left.incarnation < member->shown.self.incarnation) return;
    if (!is_signed_left(gossip, member, item)) return;
    member->shown.self.incarnation = item->left.incarnation;
    memcpy(member->left_signature, item->left.signature, GOSSIP_SIGNATURE);
    bury(gossip, member, GOSSIP_LEFT, item->left.age_s);
    timers_cancel(&gossip->timers, &member->dial_timer);
    spread_announce(gossip, member, SPREAD_STATE, SPREAD_ACCUSATION, SPREAD_HEARD);
}

/* ---- what others say ---- */

static void introduce_self(struct gossip *gossip, const struct uuid *teller, const struct net_address *address,
                           bool by_link)
{
    if (teller == NULL) return;
    outbox_push(gossip, &(struct pending){
                            .type = PENDING_INTRODUCE, .peer = *teller, .address = *address, .by_link = by_link});
}

/* Nobody can hold this broker at an incarnation that it has not signed: what is above is a lie, what is below late. */
static void on_self_accused(struct gossip *gossip, const struct accusation *accusation, const struct uuid *teller,
                            const struct net_address *address, bool by_link)
{
    struct member *self = gossip->self;

    if (accusation->incarnation == self->shown.self.incarnation && !gossip->is_leaving) {
        self->shown.self.incarnation++;
        gossip->stats.refutations++;
        if (!GOSSIP_DEFECT(gossip, NO_LIFEGUARD)) health_change(&gossip->health, 1);
        merge_sign_self(gossip);
        outbox_report(gossip, self, GOSSIP_ALIVE, false);
        spread_announce(gossip, self, SPREAD_SELF, SPREAD_REFUTATION, SPREAD_OWN);
    }
    introduce_self(gossip, teller, address, by_link);
}

static void arm_suspicion(struct gossip *gossip, struct member *member)
{
    uint64_t end_us = suspicion_end_us(&member->suspicion);

    timers_arm(&gossip->timers, &member->suspicion_timer, end_us > gossip->now_us ? end_us : gossip->now_us);
}

/* Adds the accusers; true when one is new. */
static bool confirm(struct gossip *gossip, struct member *member, const struct accusation *accusation)
{
    bool is_news = false;

    for (unsigned i = 0; i < accusation->accuser_count; i++) {
        if (uuid_equal(&accusation->accusers[i], member_id(member))) continue;
        is_news |= suspicion_confirm(&member->suspicion, &accusation->accusers[i]);
    }
    /* The defect: what was heard is passed on in one's own name. */
    if (GOSSIP_DEFECT(gossip, ACCUSER_REWRITTEN) && accusation->accuser_count > 0)
        is_news |= suspicion_confirm(&member->suspicion, member_id(gossip->self));
    return is_news;
}

static void begin_suspicion(struct gossip *gossip, struct member *member, const struct accusation *accusation,
                            enum spread_reach reach)
{
    const struct gossip_options *options = &gossip->options;
    struct suspicion_terms terms = {gossip_size(gossip), options->suspicion_mult, options->suspicion_max_mult,
                                    options->probe_interval_us};

    suspicion_start(&member->suspicion, &terms, gossip->now_us);
    if (GOSSIP_DEFECT(gossip, NO_LIFEGUARD)) member->suspicion.expected = 0;
    (void)confirm(gossip, member, accusation);
    gossip->stats.suspicions++;
    member->shown.state = GOSSIP_SUSPECT;
    member->shown.changed_us = gossip->now_us;
    table_rehash(gossip, member);
    arm_suspicion(gossip, member);
    outbox_report(gossip, member, GOSSIP_ALIVE, false);
    spread_announce(gossip, member, SPREAD_STATE, SPREAD_ACCUSATION, reach);
}

static void accuse(struct gossip *gossip, struct member *member, const struct accusation *accusation,
                   enum spread_reach reach)
{
    bool is_dead = accusation->type == ITEM_DEAD;

    if (is_dead && GOSSIP_DEFECT(gossip, DEAD_BELIEVED)) {
        (void)confirm(gossip, member, accusation);
        die(gossip, member, accusation->age_s, SPREAD_HEARD);
        return;
    }
    if (member->shown.state == GOSSIP_ALIVE) {
        begin_suspicion(gossip, member, accusation, reach);
        return;
    }
    if (confirm(gossip, member, accusation)) {
        arm_suspicion(gossip, member);
        spread_announce(gossip, member, SPREAD_STATE, SPREAD_ACCUSATION, reach);
    }
    /* A living victim has refuted by then; another's word that it is dead only ends what we suspect ourselves. */
    if (is_dead && gossip->now_us >= member->suspicion.started_us + member->suspicion.min_us)
        die(gossip, member, accusation->age_s, SPREAD_HEARD);
}

/* Who introduces a dead member says so in the same breath: a tombstone that was forgotten here, or never known. It is taken
 * with its age, as it would have been kept, so that all forget at the same time and nobody's word makes it younger. That is no
 * more than a suspicion could do: a victim that lives is told at once, and refutes. */
static bool is_met_dead(const struct gossip *gossip, const struct member *member)
{
    return member->met_us == gossip->now_us && member->shown.heard_us == 0 && !member->shown.is_linked;
}

void merge_accusation(struct gossip *gossip, const struct accusation *accusation, const struct uuid *teller,
                      const struct net_address *teller_address, bool by_link)
{
    struct member *member = table_find(gossip, accusation->subject);

    if (member == gossip->self) {
        on_self_accused(gossip, accusation, teller, teller_address, by_link);
        return;
    }
    if (member == NULL || accusation->incarnation > member->shown.self.incarnation) {
        if (!GOSSIP_DEFECT(gossip, STRANGERS_IGNORED)) strangers_keep(gossip, accusation);
        return;
    }
    if (accusation->incarnation < member->shown.self.incarnation || !member_is_live(member)) return;
    if (accusation->type == ITEM_DEAD && teller != NULL && is_met_dead(gossip, member)) {
        (void)confirm(gossip, member, accusation);
        die(gossip, member, accusation->age_s, SPREAD_HEARD);
        return;
    }
    accuse(gossip, member, accusation, SPREAD_HEARD);
}

void merge_own_suspicion(struct gossip *gossip, struct member *member, uint64_t incarnation)
{
    const struct accusation accusation = {.type = ITEM_SUSPECT,
                                          .subject = member_id(member),
                                          .incarnation = incarnation,
                                          .accusers = member_id(gossip->self),
                                          .accuser_count = 1};

    if (!member_is_live(member) || member->shown.self.incarnation != incarnation) return;
    accuse(gossip, member, &accusation, SPREAD_OWN);
}

void merge_suspicion_over(struct gossip *gossip, struct member *member)
{
    MESH_ASSERT(member->shown.state == GOSSIP_SUSPECT);
    die(gossip, member, 0, SPREAD_OWN);
}

#define WITNESS_WINDOW_US 5000000 /* what two witnesses saw within this time was one event */

void merge_gone(struct gossip *gossip, struct member *member, uint64_t incarnation, const struct uuid *witness)
{
    struct accusation accusation = {.type = ITEM_SUSPECT,
                                    .subject = member_id(member),
                                    .incarnation = incarnation,
                                    .accusers = witness,
                                    .accuser_count = 1};

    if (GOSSIP_DEFECT(gossip, NO_FAST_DEATH) || !member_is_live(member) ||
        member->shown.self.incarnation != incarnation || uuid_equal(witness, member_id(member)))
        return;
    if (member->observer_count > 0 && gossip->now_us - member->observed_us > WITNESS_WINDOW_US)
        member->observer_count = 0;
    for (unsigned i = 0; i < member->observer_count; i++)
        if (uuid_equal(&member->observers[i], witness)) return;
    member->observed_us = gossip->now_us;
    member->observers[member->observer_count++] = *witness;
    accuse(gossip, member, &accusation, SPREAD_HEARD);
    if (member->observer_count < OBSERVERS_NEEDED) return;
    gossip->stats.fast_deaths++;
    die(gossip, member, 0, SPREAD_HEARD);
}

/* ---- the end of tombstones ---- */

void merge_forget(struct gossip *gossip, struct member *member)
{
    spread_cancel_all(gossip, member);
    soft_clear(gossip, member);
    gossip->members_hash ^= member->hash_share;
    gossip->soft_hash ^= member->soft_share;
    if (member->shown.is_linked) gossip->linked_count--;
    outbox_push_plain(gossip, GOSSIP_OUTPUT_FORGOT, member_id(member), NULL);
    table_remove(gossip, member);
}

void merge_reap(struct gossip *gossip, struct member *member)
{
    uint64_t end_us = member->died_us + gossip->options.tombstone_us;

    if (gossip->now_us < end_us) {
        /* From now on nobody is told any more, so that all can forget without being told again. */
        member->is_faded = true;
        spread_cancel_all(gossip, member);
        table_rehash(gossip, member);
        timers_arm(&gossip->timers, &member->reap_timer, end_us);
        return;
    }
    if (GOSSIP_DEFECT(gossip, TOMBSTONES_FOR_EVER) || member->shown.is_registered || member->shown.is_linked) {
        timers_arm(&gossip->timers, &member->reap_timer, gossip->now_us + gossip->options.tombstone_us);
        return;
    }
    merge_forget(gossip, member);
}
