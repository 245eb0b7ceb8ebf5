#include "control/register.hpp"

#include <gtest/gtest.h>

#include <set>

namespace sansock::control {
namespace {

using namespace std::chrono_literals;
using Shown = Register::Shown;

std::shared_ptr<Line> process_of(uid_t user) { return std::make_shared<Line>(UniqueFd(), ucred{1, user, 0}); }

Pair pair_of(uint16_t port, uint8_t host = 2) {
    Pair pair;
    pair.local.address[10] = pair.local.address[11] = pair.remote.address[10] = pair.remote.address[11] = 0xff;
    pair.local.address[12] = pair.remote.address[12] = 10;
    pair.local.address[15] = 1;
    pair.remote.address[15] = host;
    pair.local.port = port;
    pair.remote.port = 80;
    return pair;
}

config::Address address_of(uint8_t host) { return {.bytes = {10, 0, 0, host}}; }

class RegisterTest : public ::testing::Test {
protected:
    Register::Held look_up(const Pair &pair) { return register_.look_up(pair, peer_, now_); }

    Register register_{{.connections = 10, .of_user = 4, .token_life = 10s}};
    std::shared_ptr<Line> one_ = process_of(1000), other_ = process_of(1001), root_ = process_of(0);
    const Register::Host peer_ = std::make_shared<const pki::Names>("peer", std::vector{address_of(2), address_of(22)});
    const Register::Now now_ = Register::Clock::now();
};

TEST_F(RegisterTest, TellsProcessesApart) {
    std::set<uint64_t> keys;
    for (int i = 0; i < 100; ++i) keys.insert(process_of(1)->key);
    EXPECT_EQ(keys.size(), 100u);
    EXPECT_FALSE(keys.contains(0));
}

TEST_F(RegisterTest, FindsWhoHoldsAConnection) {
    ASSERT_TRUE(register_.add(one_, 7, pair_of(1), 100));
    ASSERT_TRUE(register_.add(other_, 7, pair_of(2), 101));
    const auto held = look_up(pair_of(2));
    EXPECT_EQ(held.holder, other_);
    EXPECT_EQ(held.id, 7u);
    EXPECT_FALSE(look_up(pair_of(3)).holder);
    EXPECT_FALSE(look_up({pair_of(1).remote, pair_of(1).local}).holder) << "the other end";
    EXPECT_EQ(register_.pair_of(*one_, 7), pair_of(1));
    EXPECT_FALSE(register_.pair_of(*one_, 8));
}

TEST_F(RegisterTest, TakesEachConnectionOfAProcessOnce) {
    ASSERT_TRUE(register_.add(one_, 1, pair_of(1), 100));
    EXPECT_TRUE(register_.add(one_, 1, pair_of(1), 100)) << "again, which says nothing new";
    EXPECT_EQ(register_.add(one_, 1, pair_of(2), 101).error().code, EEXIST);
    EXPECT_EQ(register_.add(one_, 1, pair_of(1), 102).error().code, EEXIST) << "of another socket";
    EXPECT_EQ(register_.add(one_, 2, pair_of(1), 100).error().code, EEXIST);
    EXPECT_EQ(register_.connections(), 1u);
}

TEST_F(RegisterTest, ChoosesNobodyWhereSeveralHold) {
    ASSERT_TRUE(register_.add(one_, 1, pair_of(1), 100));
    ASSERT_TRUE(register_.add(other_, 1, pair_of(1), 100));
    EXPECT_TRUE(look_up(pair_of(1)).by_several);
    EXPECT_FALSE(look_up(pair_of(1)).holder);
    register_.remove_all(*other_);
    EXPECT_EQ(look_up(pair_of(1)).holder, one_);
}

TEST_F(RegisterTest, TakesThatOfAnotherSocketForOver) {
    ASSERT_TRUE(register_.add(one_, 1, pair_of(1), 100));
    ASSERT_TRUE(register_.add(other_, 1, pair_of(1), 100));
    const auto token = look_up(pair_of(1)).token;
    ASSERT_TRUE(register_.add(root_, 5, pair_of(1), 200));
    EXPECT_EQ(look_up(pair_of(1)).holder, root_);
    EXPECT_EQ(register_.connections(), 1u);
    EXPECT_FALSE(register_.pair_of(*one_, 1));
    EXPECT_EQ(register_.show(token, address_of(2), now_).what, Shown::kUnknown);
    register_.remove(*one_, 1);  // who hears of it late
    register_.remove_all(*other_);
    EXPECT_EQ(look_up(pair_of(1)).holder, root_);
}

TEST_F(RegisterTest, IsBounded) {
    for (uint16_t i = 0; i < 4; ++i) ASSERT_TRUE(register_.add(one_, i, pair_of(i), i));
    EXPECT_EQ(register_.add(one_, 4, pair_of(4), 4).error().code, ENOSPC);
    for (uint16_t i = 4; i < 10; ++i) ASSERT_TRUE(register_.add(root_, i, pair_of(i), i)) << "root may have all";
    EXPECT_EQ(register_.add(root_, 10, pair_of(10), 10).error().code, ENOSPC);
    EXPECT_EQ(register_.add(other_, 10, pair_of(10), 10).error().code, ENOSPC);
    register_.remove(*one_, 0);
    EXPECT_TRUE(register_.add(one_, 11, pair_of(11), 11));
    register_.remove_all(*root_);
    register_.remove_all(*one_);
    EXPECT_EQ(register_.connections(), 0u);
    for (uint16_t i = 0; i < 4; ++i) ASSERT_TRUE(register_.add(one_, i, pair_of(i), i));
}

TEST_F(RegisterTest, HandsOverForATokenOnce) {
    ASSERT_TRUE(register_.add(one_, 1, pair_of(1), 100));
    const auto held = look_up(pair_of(1));
    EXPECT_EQ(register_.tokens(now_), 1u);
    Token wrong = held.token;
    wrong[15] ^= 1;
    EXPECT_EQ(register_.show(wrong, address_of(2), now_).what, Shown::kUnknown);
    EXPECT_EQ(register_.show(held.token, address_of(3), now_).what, Shown::kElsewhere);
    const auto shown = register_.show(held.token, address_of(22), now_);
    EXPECT_EQ(shown.what, Shown::kRight);
    EXPECT_EQ(shown.holder, one_);
    EXPECT_EQ(register_.show(held.token, address_of(2), now_).what, Shown::kUnknown);
    EXPECT_EQ(register_.tokens(now_), 0u);
}

TEST_F(RegisterTest, LetsTokensExpire) {
    ASSERT_TRUE(register_.add(one_, 1, pair_of(1), 100));
    ASSERT_TRUE(register_.add(one_, 2, pair_of(2), 101));
    const auto first = look_up(pair_of(1)).token;
    const auto second = register_.look_up(pair_of(2), peer_, now_ + 5s).token;
    EXPECT_EQ(register_.show(first, address_of(2), now_ + 10s).what, Shown::kExpired);
    EXPECT_EQ(register_.tokens(now_ + 10s), 1u);
    EXPECT_EQ(register_.show(second, address_of(2), now_ + 14s).what, Shown::kRight);
}

TEST_F(RegisterTest, HasOneTokenForAConnection) {
    ASSERT_TRUE(register_.add(one_, 1, pair_of(1), 100));
    const auto first = look_up(pair_of(1)).token;
    std::set<Token> tokens;
    for (int i = 0; i < 1000; ++i) tokens.insert(look_up(pair_of(1)).token);
    EXPECT_EQ(tokens.size(), 1000u);
    EXPECT_EQ(register_.tokens(now_), 1u);
    EXPECT_EQ(register_.show(first, address_of(2), now_).what, Shown::kUnknown);
}

TEST_F(RegisterTest, KeepsNoTokenOfWhatIsForgotten) {
    ASSERT_TRUE(register_.add(one_, 1, pair_of(1), 100));
    ASSERT_TRUE(register_.add(one_, 2, pair_of(2), 101));
    const auto first = look_up(pair_of(1)).token, second = look_up(pair_of(2)).token;
    register_.remove(*one_, 1);
    register_.withdraw(second);
    register_.withdraw(second);
    EXPECT_EQ(register_.show(first, address_of(2), now_).what, Shown::kUnknown);
    EXPECT_EQ(register_.show(second, address_of(2), now_).what, Shown::kUnknown);
    EXPECT_EQ(register_.tokens(now_), 0u);
}

TEST_F(RegisterTest, RemembersForAMomentWhatIsNotThere) {
    ASSERT_TRUE(register_.add(one_, 1, pair_of(1), 100));
    EXPECT_FALSE(register_.is_not_there(*one_, 1, now_));
    register_.note_not_there(*one_, 1, now_ + 100ms);
    EXPECT_TRUE(register_.is_not_there(*one_, 1, now_ + 99ms));
    EXPECT_FALSE(register_.is_not_there(*one_, 1, now_ + 100ms));
    register_.note_not_there(*one_, 2, now_ + 100ms);
    EXPECT_FALSE(register_.is_not_there(*one_, 2, now_));
}

TEST_F(RegisterTest, StaysWholeWhateverHappens) {
    std::map<std::pair<Line *, uint64_t>, std::pair<Pair, uint64_t>> expected;
    unsigned seed = 20261130;
    const auto any = [&](unsigned below) { return seed = seed * 1664525u + 1013904223u, (seed >> 16) % below; };
    Register large;
    const std::shared_ptr<Line> lines[] = {one_, other_, root_};
    for (int turn = 0; turn < 20'000; ++turn) {
        const auto &line = lines[any(3)];
        const uint64_t id = any(20);
        const Pair pair = pair_of(static_cast<uint16_t>(any(30)));
        const uint64_t cookie = pair.local.port * 2 + any(2);
        switch (any(5)) {
            case 0:
            case 1:
                if (large.add(line, id, pair, cookie)) {
                    std::erase_if(expected, [&](const auto &entry) { return entry.second.first == pair && entry.second.second != cookie; });
                    expected[{line.get(), id}] = {pair, cookie};
                }
                break;
            case 2:
                large.remove(*line, id);
                expected.erase({line.get(), id});
                break;
            case 3: {
                const auto holders = std::ranges::count_if(expected, [&](const auto &entry) { return entry.second.first == pair; });
                const auto held = large.look_up(pair, peer_, now_ + std::chrono::milliseconds(turn));
                ASSERT_EQ(held.by_several, holders > 1) << "seed 20261130, turn " << turn;
                ASSERT_EQ(held.holder != nullptr, holders == 1) << "seed 20261130, turn " << turn;
                if (held.holder && any(2) == 0) {
                    ASSERT_EQ(large.show(held.token, address_of(2), now_ + std::chrono::milliseconds(turn)).holder, held.holder);
                }
                break;
            }
            default:
                if (any(50) != 0) break;
                large.remove_all(*line);
                std::erase_if(expected, [&](const auto &entry) { return entry.first.first == line.get(); });
        }
        ASSERT_EQ(large.connections(), expected.size()) << "seed 20261130, turn " << turn;
    }
}

}  // namespace
}  // namespace sansock::control
