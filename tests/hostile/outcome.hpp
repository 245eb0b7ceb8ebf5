// What must have become of a victim that met a hostile peer.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "peer.hpp"

namespace sansock::hostile {

/// "uid 0, pid 123": whom the report has to name.
inline std::string named(uid_t user = geteuid(), pid_t pid = getpid()) {
    return "uid " + std::to_string(user) + ", pid " + std::to_string(pid) + " ";
}

/// The connection still works over TCP, ends as TCP does, and the report says why it stayed and who is behind it.
inline void expect_stayed(Victim &victim, Peer &peer, bool accepts, const std::string &reason, const std::string &detail) {
    EXPECT_TRUE(accepts ? peer.exchange(3) : peer.echo(3)) << victim.log();
    peer.finish();
    EXPECT_EQ("end", victim.ending());
    const auto record = victim.record();
    ASSERT_TRUE(record.is_object());
    EXPECT_EQ("tcp", record["path"]);
    EXPECT_EQ(reason, record["reason"]);
    EXPECT_EQ(0, record["upgrades"]);
    if (detail.empty()) return;
    ASSERT_TRUE(record["detail"].is_string()) << record;
    EXPECT_THAT(record["detail"].get<std::string>(), testing::HasSubstr(detail));
    EXPECT_THAT(victim.log(), testing::HasSubstr(detail));
}

/// The connection had moved and was reset, at both ends, by the victim's library.
inline void expect_reset(Victim &victim, Peer &peer, const std::string &reason) {
    ASSERT_EQ("error ECONNRESET", victim.ending());
    char byte;
    EXPECT_EQ(-1, recv(peer.tcp(), &byte, 1, 0));
    EXPECT_EQ(ECONNRESET, errno);
    const auto record = victim.record();
    ASSERT_TRUE(record.is_object());
    EXPECT_EQ(reason, record["reason"]);
    EXPECT_THAT(record["detail"].get<std::string>(), testing::HasSubstr(named()));
    EXPECT_THAT(victim.log(), testing::HasSubstr(named()));
}

}  // namespace sansock::hostile
