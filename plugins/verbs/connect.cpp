// How the two ends get their connection. Everything in an offer or an answer is the peer's word and is checked.
#include "endpoint.hpp"
#include "provider.hpp"
#include "queue.hpp"

namespace sansock::verbs {

using sdk::Failure;

Endpoint::Endpoint(Provider &provider, const sansock_endpoint_config &config)
    : provider_(provider),
      queue_(*static_cast<Queue *>(config.queue)),
      config_(config),
      sends_(config.send_depth),
      receives_(config.receive_depth) {
    statistics_.size = sizeof statistics_;
    provider_.connector().require_device();  // before anything fails for another reason
    number_ = queue_.attach(*this, config.send_depth + config.receive_depth);
    try {
        ibv_qp_init_attr attributes{};
        attributes.send_cq = &queue_.sends();
        attributes.recv_cq = &queue_.arrivals();
        attributes.cap.max_send_wr = config.send_depth + 1;  // and the write of nothing
        attributes.cap.max_recv_wr = config.receive_depth;
        attributes.cap.max_send_sge = attributes.cap.max_recv_sge = kSliceCountMax;
        attributes.qp_type = IBV_QPT_RC;
        line_.queue = &queue_;
        line_.queues = queue_.device_queues();
        line_.pair = provider_.device().new_queue_pair(attributes);
        inline_bytes_max_ = attributes.cap.max_inline_data;
        provider_.connector().add(line_);
    } catch (...) {
        queue_.detach(*this, config.send_depth + config.receive_depth);
        throw;
    }
}

Endpoint::~Endpoint() {
    provider_.connector().drop(line_);
    queue_.detach(*this, config_.send_depth + config_.receive_depth);
}

void Endpoint::require_state(std::int32_t state) const {
    if (state_ != state) throw Failure(SANSOCK_EINVAL, "the call does not fit the endpoint's state");
}

Card Endpoint::card(bool is_offer) const {
    return {.message_bytes_max = provider_.settings().message_bytes_max,
            .token = line_.own.token,
            .answers = line_.peer.token,
            .address = provider_.device().address(),
            .port = is_offer ? provider_.device().port() : std::uint16_t{0}};
}

void Endpoint::make_offer(sansock_offer &offer) {
    require_state(SANSOCK_ENDPOINT_CREATED);
    line_.own.token = plugins::new_token();
    provider_.connector().expect(line_);
    write_card(card(true), provider_.transport().letter(), true, offer);
    state_ = SANSOCK_ENDPOINT_OFFERED;
}

void Endpoint::accept_offer(const sansock_offer &offer, sansock_answer &answer) {
    require_state(SANSOCK_ENDPOINT_CREATED);
    try {
        line_.peer = read_card(offer, provider_.transport().letter(), true);
        line_.own.token = plugins::new_token();
        write_card(card(false), provider_.transport().letter(), false, answer);
        provider_.connector().dial(line_);
    } catch (const Failure &failure) {
        fail(failure.status());
        provider_.connector().give_up(line_, failure.status());
        throw;
    }
    state_ = SANSOCK_ENDPOINT_CONNECTING;
}

void Endpoint::take_answer(const sansock_answer &answer) {
    require_state(SANSOCK_ENDPOINT_OFFERED);
    try {
        const Card peer = read_card(answer, provider_.transport().letter(), false);
        if (!plugins::same(peer.answers, line_.own.token)) throw Failure(SANSOCK_EPROTO, "the answer does not belong to this offer");
        provider_.connector().answer(line_, peer);
    } catch (const Failure &failure) {
        fail(failure.status());
        provider_.connector().give_up(line_, failure.status());
        throw;
    }
    state_ = SANSOCK_ENDPOINT_CONNECTING;
}

}  // namespace sansock::verbs
