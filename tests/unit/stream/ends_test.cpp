// Situations of two whole ends that the simulation needed many seeds to come upon, told one by one.
#include "ends_support.hpp"

namespace sansock::stream {
namespace {

TEST_F(EndsTest, GoBackToTcpInTheMiddleOfTheirBytes) {
    upgrade();
    EXPECT_EQ(a.send("kept"), 4);
    EXPECT_TRUE(a.end->step(Reason::kDrained, false));
    b.end->progress();
    a.end->progress();
    EXPECT_FALSE(a.end->on_provider(true));
    EXPECT_EQ(a.send(" and new"), 8);
    EXPECT_EQ(b.receive(), "kept and new");
    EXPECT_EQ(a.kernel.sent, 12u);
}

TEST_F(EndsTest, TakeNoStepOnceTheyAreReset) {
    upgrade();
    a.kernel.intrude("intruder");
    EXPECT_TRUE(a.end->step(Reason::kDrained, false));
    EXPECT_EQ(a.state->reason.load(), static_cast<uint8_t>(Reason::kForeignBytes));
    // Whoever asks again must not send the peer to TCP, where the intruder's bytes lie.
    EXPECT_TRUE(a.end->step(Reason::kDrained, false));
    EXPECT_EQ(a.arena.slot(a.slot).cold.step.load(), 0u);
    b.end->progress();
    b.end->tcp_ended(kTcpReset);
    EXPECT_EQ(b.receive(), "ECONNRESET");
}

TEST_F(EndsTest, AreNotBackOnTcpBecauseTheyCloseAfterAReset) {
    a.end->declare_ready();
    b.end->declare_ready();
    ASSERT_EQ(a.send("kept"), 4);  // the peer has yet to come to X
    a.kernel.intrude("intruder");
    EXPECT_TRUE(a.end->step(Reason::kDrained, false));
    EXPECT_EQ(a.state->reason.load(), static_cast<uint8_t>(Reason::kForeignBytes));
    a.end->close(false);
    a.end->leave_memory();
    b.end->tcp_ended(kTcpReset);
    EXPECT_TRUE(b.end->step(Reason::kDrained, false));
    EXPECT_EQ(b.receive(), "ECONNRESET") << "and not the intruder's bytes";
}

TEST_F(EndsTest, LeaveAnAnswerBehindWhenTheyLeave) {
    upgrade();
    EXPECT_TRUE(a.end->step(Reason::kExec, true));
    EXPECT_FALSE(a.end->rests_for_good());
    b.end->declare_ready();
    b.end->progress();
    a.end->progress();
    b.end->progress();
    ASSERT_TRUE(a.end->rests_for_good());
    // From here on nobody looks at `a`. The peer may be ready for the next epoch, having heard of the pin too late.
    b.state->pinned = 0;
    b.arena.slot(b.slot).cold.ready = b.state->epoch.load();
    EXPECT_TRUE(b.end->finish_writing());
    EXPECT_NE(b.kernel.events() & POLLOUT, 0);
    EXPECT_NE(a.kernel.events() & POLLRDHUP, 0) << "the kernel's FIN";
    b.end->declare_ready();
    EXPECT_TRUE(b.end->at_rest_on_tcp());
}

TEST_F(EndsTest, TellOfTheirOwnResetAsTcpTellsOfOne) {
    upgrade();
    a.end->fail(Reason::kProtocol);
    EXPECT_EQ(a.events(), POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP | POLLHUP | POLLERR);
    EXPECT_EQ(a.receive(), "ECONNRESET");
    EXPECT_EQ(a.receive(), "");
    EXPECT_EQ(a.events(), POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP | POLLHUP);
    EXPECT_EQ(a.send("late"), -EPIPE);
}

TEST_F(EndsTest, HoldNothingBackForAPeerThatHasReset) {
    const std::string bulk(64 * 1024, 'x');
    while (a.send(bulk) > 0) {
    }
    b.end->declare_ready();
    EXPECT_EQ(a.send(bulk), -EAGAIN);
    ASSERT_TRUE(a.end->holding());
    b.kernel.tcp_guard(true);
    b.kernel.fd.reset();
    a.end->tcp_ended(kTcpReset);
    EXPECT_GT(a.kernel.tcp_unsent(), 0) << "the kernel counts on what it has lost";
    EXPECT_FALSE(a.end->holding());
    EXPECT_EQ(a.send("more"), -ECONNRESET);
}

TEST_F(EndsTest, AskTheKernelForRoomOnceThePeerHasGone) {
    upgrade();
    EXPECT_EQ(b.end->close(false), End::Close::kNow);
    b.end->leave_memory();
    b.kernel.fd.reset();
    a.end->progress();
    a.end->tcp_ended(kTcpFin);
    ASSERT_TRUE(a.end->on_provider(true));
    EXPECT_TRUE(a.end->kernel_takes_output());
    EXPECT_EQ(a.end->events(0) & POLLOUT, 0) << "a full kernel has no room, whatever the window has";
    EXPECT_EQ(a.end->events(POLLOUT) & POLLOUT, POLLOUT);
}

TEST_F(EndsTest, TakeAResetBehindTheStreamsEndAsTcpDoesInCloseWait) {
    upgrade();
    EXPECT_EQ(b.send("all"), 3);
    EXPECT_TRUE(b.end->finish_writing());
    b.abort();
    a.end->tcp_ended(kTcpReset);
    EXPECT_EQ(a.receive(), "all");
    EXPECT_EQ(a.receive(), "");
    EXPECT_EQ(a.send("late"), -EPIPE) << "the kernel, which has seen no end, says ECONNRESET";
    EXPECT_EQ(a.send("later"), -EPIPE);
    EXPECT_EQ(a.receive(), "");
}

TEST_F(EndsTest, TellASenderOfAResetBeforeItsOwnEnd) {
    upgrade();
    EXPECT_TRUE(a.end->finish_writing());
    EXPECT_EQ(a.send("late"), -EPIPE);
    EXPECT_EQ(a.kernel.sent, 0u) << "the question must not be a byte";
    b.abort();
    // The helper has not seen it yet.
    EXPECT_EQ(a.send("late"), -ECONNRESET);
    a.end->error_told();
    EXPECT_EQ(a.send("late"), -EPIPE);
    a.end->tcp_ended(kTcpFin);  // of an error that was told the kernel shows a hang-up alone
    EXPECT_EQ(a.receive(), "");
    EXPECT_EQ(a.error(), 0);
    EXPECT_TRUE(a.end->both_finished());
}

TEST_F(EndsTest, FeelNoResetOnceBothHaveEnded) {
    upgrade();
    EXPECT_EQ(b.send("all"), 3);
    EXPECT_TRUE(b.end->finish_writing());
    EXPECT_TRUE(a.end->finish_writing());
    b.abort();
    constexpr short kOver = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP | POLLHUP;
    EXPECT_EQ(a.events(), kOver);
    EXPECT_EQ(a.receive(), "all");
    EXPECT_EQ(a.send("late"), -EPIPE);
    EXPECT_EQ(a.error(), 0);
    EXPECT_EQ(a.receive(), "");
    EXPECT_EQ(a.events(), kOver);
}

TEST_F(EndsTest, FeelAResetWhileTheirEndWaitsForRoom) {
    upgrade();
    const std::string bulk(4096, 'x');
    while (a.send(bulk) > 0) {
    }
    EXPECT_TRUE(a.end->finish_writing());
    EXPECT_TRUE(b.end->finish_writing());
    b.abort();
    EXPECT_NE(a.events() & POLLERR, 0) << "LAST_ACK: over TCP the peer would not have had room for the last bytes";
    EXPECT_EQ(a.error(), ECONNRESET);
    EXPECT_EQ(a.error(), 0);
}

TEST_F(EndsTest, FeelAResetWhileThePeersEndIsOnItsWay) {
    const std::string bulk(64 * 1024, 'x');
    while (b.send(bulk) > 0) {
    }
    ASSERT_GT(b.kernel.tcp_unsent(), 0) << "more than the reader's kernel takes";
    EXPECT_TRUE(b.end->finish_writing());
    ASSERT_TRUE(a.end->peer_finished());
    if (!a.end->finish_writing()) a.kernel.tcp_shutdown_write();
    b.abort();
    std::string last;
    do {
        last = a.receive();
    } while (last.starts_with('x'));
    EXPECT_EQ(last, "ECONNRESET") << "the peer has named its end, but what was ahead of that is lost";
}

TEST_F(EndsTest, TellAReaderThatHasShutDownOfAReset) {
    upgrade();
    a.end->finish_reading();
    EXPECT_EQ(a.receive(), "");
    b.abort();
    EXPECT_NE(a.events() & POLLERR, 0);
    EXPECT_EQ(a.receive(), "ECONNRESET");
    EXPECT_EQ(a.receive(), "");
    EXPECT_EQ(a.events() & POLLERR, 0);
}

TEST_F(EndsTest, TellOfWhatIsLostOnceWhoeverIsTold) {
    upgrade();
    EXPECT_EQ(a.send("unread"), 6);
    b.abort();
    EXPECT_EQ(a.error(), ECONNRESET);
    a.end->tcp_ended(kTcpReset);
    EXPECT_EQ(a.receive(), "");
    EXPECT_EQ(a.error(), 0);
    EXPECT_EQ(a.send("late"), -EPIPE);
}

TEST_F(EndsTest, AreOverOnceThePeerHasDiedWithTheirBytes) {
    upgrade();
    EXPECT_EQ(a.send("unread"), 6);
    b.kernel.fd.reset();  // nothing of it was in the kernel, which ends the connection in order
    a.end->tcp_ended(kTcpFin);
    EXPECT_TRUE(a.end->both_finished());
    EXPECT_EQ(a.receive(), "ECONNRESET");
    EXPECT_TRUE(a.end->both_finished());
    EXPECT_EQ(a.receive(), "");
}

TEST_F(EndsTest, AreReadyForNoPeerThatIsLent) {
    upgrade();
    lend_a();
    b.end->declare_ready();
    EXPECT_FALSE(b.is_ready());
    // From here on nobody looks at `a`.
    EXPECT_TRUE(b.end->finish_writing());
    EXPECT_NE(a.kernel.events() & POLLRDHUP, 0) << "the kernel's FIN waits for no answer";
}

TEST_F(EndsTest, LeaveTcpAgainOnceTheyAreTakenBack) {
    upgrade();
    lend_a();
    b.end->declare_ready();
    EXPECT_FALSE(a.end->take_back(2, false)) << "lent anew since somebody looked";
    EXPECT_TRUE(a.end->take_back(1, false));
    b.end->progress();
    upgrade();
}

TEST_F(EndsTest, StayOnTcpWhenTheirStreamEndsWhileTheyAreLent) {
    upgrade();
    lend_a();
    EXPECT_FALSE(a.end->finish_writing()) << "that is for the kernel to do";
    a.kernel.tcp_shutdown_write();
    EXPECT_TRUE(a.end->take_back(1, false));
    a.end->declare_ready();
    b.end->progress();
    b.end->declare_ready();
    EXPECT_EQ(b.send("to the half that is open"), 24);
    EXPECT_FALSE(b.end->on_provider(true)) << "where the kernel's FIN would pass for a death";
    EXPECT_EQ(a.receive(), "to the half that is open");
    EXPECT_EQ(b.receive(), "");
}

TEST_F(EndsTest, StayOnTcpWhenTheOtherProgramHasEndedTheirStream) {
    upgrade();
    lend_a();
    a.kernel.tcp_shutdown_write();
    EXPECT_TRUE(a.end->take_back(1, true));
    a.end->declare_ready();
    b.end->declare_ready();
    EXPECT_EQ(b.send("to the half that is open"), 24);
    EXPECT_FALSE(b.end->on_provider(true));
}

TEST_F(EndsTest, LeaveUnreadBytesToTheOtherProgramWhenTheyClose) {
    upgrade();
    lend_a();
    EXPECT_EQ(b.send("for the other"), 13);
    const UniqueFd program(dup(a.kernel.fd.get()));
    EXPECT_EQ(a.end->close(false), End::Close::kNow);
    a.kernel.fd.reset();
    a.end->leave_memory();
    char bytes[32];
    EXPECT_EQ(recv(program.get(), bytes, sizeof bytes, 0), 13);
    EXPECT_EQ(send(program.get(), "answer", 6, 0), 6);
    EXPECT_EQ(b.receive(), "answer");
    b.end->declare_ready();
    EXPECT_FALSE(b.is_ready());
    EXPECT_EQ(b.events(), POLLOUT);
    if (!b.end->finish_writing()) b.kernel.tcp_shutdown_write();
    EXPECT_EQ(recv(program.get(), bytes, sizeof bytes, 0), 0);
    EXPECT_EQ(send(program.get(), "last", 4, 0), 4);
    EXPECT_EQ(b.receive(), "last");
}

TEST_F(EndsTest, NeedNoAnswerToLendWhatHasNotMoved) {
    b.end->declare_ready();
    a.lend();
    EXPECT_TRUE(a.end->at_rest_on_tcp());
    EXPECT_EQ(a.send("by tcp"), 6) << "nothing is stopped";
    EXPECT_EQ(a.kernel.sent, 6u);
    // And the peer needs none, whatever it does next.
    EXPECT_EQ(b.receive(), "by tcp");
    EXPECT_TRUE(b.end->finish_writing() || shutdown(b.kernel.fd.get(), SHUT_WR) == 0);
    EXPECT_NE(a.kernel.events() & POLLRDHUP, 0);
}

TEST_F(EndsTest, GoBackFromAnEpochForWhichTheyWereReadyAsThePeerWasLent) {
    upgrade();
    lend_a();
    // As declare_ready() does where the peer is lent between its look and its word.
    a.arena.slot(a.slot).cold.resting = 0;
    b.end->declare_ready();
    ASSERT_TRUE(b.is_ready());
    a.arena.slot(a.slot).cold.resting = 1;
    b.state->step_wanted = b.state->epoch.load();
    b.end->progress();
    a.end->progress();
    EXPECT_TRUE(a.end->at_rest_on_tcp());
    b.end->progress();
    b.end->declare_ready();
    EXPECT_FALSE(b.is_ready());
}

TEST_F(EndsTest, LeaveAnAnswerBehindWhenTheyEndWhileLent) {
    upgrade();
    lend_a();
    b.arena.slot(b.slot).cold.ready = b.state->epoch.load();
    a.end->leave_lent();
    EXPECT_TRUE(b.end->finish_writing());
    EXPECT_NE(b.kernel.events() & POLLOUT, 0);
    EXPECT_NE(a.kernel.events() & POLLRDHUP, 0) << "the kernel's FIN";
}

TEST_F(EndsTest, WaitForNoAnswerOfAPeerThatWasKilledWhileLent) {
    upgrade();
    lend_a();
    b.arena.slot(b.slot).cold.ready = b.state->epoch.load();
    EXPECT_TRUE(b.end->finish_writing());
    EXPECT_EQ(a.kernel.events() & POLLRDHUP, 0) << "the STEP waits";
    b.end->peer_deserts();
    EXPECT_NE(a.kernel.events() & POLLRDHUP, 0);
    b.end->declare_ready();
    EXPECT_FALSE(b.is_ready());
}

TEST_F(EndsTest, AskTheKernelOnceNobodyCanAnswerTheirStep) {
    upgrade();
    b.end->step(Reason::kDrained, false);
    EXPECT_EQ(b.send("x"), -EAGAIN) << "the STEP waits";
    b.end->peer_deserts();
    EXPECT_EQ(b.send("x"), 1) << "the kernel's FIN has yet to come";
    EXPECT_NE(b.receive(), "ECONNRESET");
}

TEST_F(EndsTest, CountNothingAsUnconsumedWhereMoreWasConsumedThanThereIs) {
    upgrade();
    ASSERT_EQ(a.send("kept"), 4);
    EXPECT_EQ(a.end->unconsumed(), 4u);
    b.arena.slot(b.slot).hot.consumed = a.state->out.out.load() + 1;
    EXPECT_EQ(a.end->unconsumed(), 0u) << "and not nearly 2^64, of which SIOCOUTQ would tell";
    EXPECT_EQ(a.end->unacknowledged(), 0u);
    EXPECT_EQ(a.send("x"), -ECONNRESET) << "it is a lie, which ends the connection";
}

}  // namespace
}  // namespace sansock::stream
