// Who may send a message when: exact credits, one for each receive that the other end has posted.
//
// The problem: a message that finds no receive breaks the path (iWARP), so nobody sends without knowing of one; and what
// tells of receives are messages themselves. Two directions that are both full must still be able to tell each other that
// there is room again. So two receives are kept out of the data's reach:
//   - one for a *credit* message. At most one is under way: the next one goes only when something has come back that says
//     that this one was received, and a credit message is received and its buffer posted again without the application.
//   - one for the *answer* to a credit message, for when there is no data to say so. Whoever holds a credit message knows
//     that its last answer was received and that buffer posted again: otherwise the credit message could not have been sent.
// One reserved receive is not enough: two credit messages that cross would each wait for the other to be answered.
// While the other end has receives for data to spare, what is to be told goes there, as an *update*: nobody waits for its answer, so
// several can be under way, and a stream in one direction is never held up by one that is. Answers are not answered, so two idle ends fall
// silent.
//
// Counts are cumulative and wrap; only their differences are used.
#pragma once
#include <cstdint>

namespace sansock::path {

class Credits {
public:
    static constexpr uint32_t kReserved = 2;
    /// With fewer, the receive of an answer, of which nobody tells, could be the only one that data might have.
    static constexpr uint32_t kReceivesMin = kReserved + 2;

    /// `own`, `peers`: receives that each end has posted before the first message.
    void open(uint32_t own, uint32_t peers) {
        *this = {};
        receives_ = own;
        peer_receives_ = peers;
        posted_ = told_ = own;
        peer_posted_ = peers;
    }

    // --- sending ---
    [[nodiscard]] bool may_send_data() const { return peer_posted_ - sent_ > kReserved; }
    [[nodiscard]] bool may_send_credit() const { return !credit_under_way_; }
    /// There are credits for data to spare, for a message that tells of receives and asks for no answer. Of fewer receives an update and an
    /// answer, of which nobody tells, could be all that data might have.
    [[nodiscard]] bool may_send_update() const {
        return peer_receives_ >= kReceivesMin + 2 && peer_posted_ - sent_ > kReserved + (peer_receives_ - kReserved) / 2;
    }
    [[nodiscard]] bool owes_answer() const { return owes_answer_; }
    /// Everything that has been sent is known to have been received.
    [[nodiscard]] bool all_received() const { return peer_received_ == sent_; }
    /// A message goes out, with posted() and received() in it.
    void sent(bool is_credit) {
        ++sent_;
        told_ = posted_;
        fresh_ = 0;
        owes_answer_ = false;
        if (is_credit) {
            credit_under_way_ = true;
            credit_number_ = sent_;
        }
    }

    // --- receiving ---
    [[nodiscard]] uint32_t posted() const { return posted_; }
    [[nodiscard]] uint32_t received() const { return received_; }
    /// A message has come in. False: its counts are impossible.
    [[nodiscard]] bool take(uint32_t peer_posted, uint32_t peer_received, bool is_credit) {
        ++received_;
        if (peer_posted - peer_posted_ > peer_receives_ || peer_posted - sent_ > peer_receives_) return false;
        if (peer_received - peer_received_ > sent_ - peer_received_) return false;
        peer_posted_ = peer_posted;
        peer_received_ = peer_received;
        if (credit_under_way_ && static_cast<int32_t>(peer_received - credit_number_) >= 0) credit_under_way_ = false;
        if (is_credit) owes_answer_ = true;
        return true;
    }
    /// A receive is posted again; `held_data`: the application has read what lay in it.
    void reposted(bool held_data) {
        ++posted_;
        if (held_data) ++fresh_;
    }
    /// Half of the receives for data have been read and posted again since the peer was told, or it may have used up all but a quarter. Not
    /// counted by messages: of two ends that answer each other, an update would lead to another one with each answer, for ever.
    [[nodiscard]] bool worth_telling() const {
        return fresh_ > 0 && (fresh_ >= (for_data() + 1) / 2 || told_ - received_ <= kReserved + for_data() / 4);
    }
    /// The same of a quarter: early enough for long messages, of which the peer must have some to send while it is told.
    [[nodiscard]] bool soon_worth_telling() const { return fresh_ > 0 && fresh_ >= for_data() / 4; }

private:
    [[nodiscard]] uint32_t for_data() const { return receives_ - kReserved; }

    uint32_t receives_ = 0, peer_receives_ = 0;
    uint32_t sent_ = 0;
    uint32_t peer_posted_ = 0;
    uint32_t peer_received_ = 0;
    uint32_t credit_number_ = 0;  ///< `sent_` with the last credit message.
    uint32_t posted_ = 0;
    uint32_t told_ = 0;  ///< `posted_` as the peer was told last.
    uint32_t received_ = 0;
    uint32_t fresh_ = 0;  ///< Receives posted again since then that had held data.
    bool credit_under_way_ = false;
    bool owes_answer_ = false;
};

}  // namespace sansock::path
