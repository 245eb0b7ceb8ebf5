// A writer and a reader of one window, each with its own mapping of the same arena.
#pragma once
#include <gtest/gtest.h>

#include <cstring>

#include "stream/window.hpp"

namespace sansock::stream {

/// Every position of the stream has a byte of its own, so that a misplaced one shows.
inline uint8_t byte_at(uint64_t offset) { return static_cast<uint8_t>((offset * 0x9e37'79b9'7f4a'7c15) >> 56); }

class WindowTest : public testing::Test {
protected:
    static constexpr uint32_t kBufferSize = 4096;
    static constexpr uint32_t kBuffers = 6;
    static constexpr uint16_t kBuffersMax = 4;
    static constexpr uint64_t kWindow = kBuffersMax * kBufferSize;

    WindowTest() {
        EXPECT_EQ(arena.create(kBufferSize, uint64_t{kBuffers} * kBufferSize), 0);
        EXPECT_EQ(peer_arena.map(arena.fd()), 0);
        slot = &arena.slot(arena.take_slot().value());
        out.window = kWindow;
        out.buffers_max = kBuffersMax;
        out.segment_buffer = memory::kInlineBuffer;
        start_at(0);
    }
    ~WindowTest() override {
        peer_arena.close();
        arena.close();
    }

    WindowWriter writer() { return {out, arena, *slot}; }
    WindowReader reader() { return {in, peer_arena, *seen(), kBuffers * kBufferSize + memory::kInlineSize}; }
    /// The slot in the reader's mapping.
    [[nodiscard]] const memory::Slot *seen() const {
        return reinterpret_cast<const memory::Slot *>(
            reinterpret_cast<const uint8_t *>(&peer_arena.header()) +
            (reinterpret_cast<const uint8_t *>(slot) - reinterpret_cast<const uint8_t *>(&arena.header())));
    }

    void start_at(uint64_t offset) {
        out.out = offset;
        out.switched_at = offset;
        in.in = offset;
        writer().reset(offset);
        reader().reset(offset);
    }

    /// Publishes at most `size` bytes of the pattern; answers how many there was room for.
    size_t write(size_t size) {
        WindowWriter window = writer();
        EXPECT_TRUE(window.believe_consumed(in.in));
        size_t done = 0;
        while (done < size) {
            const size_t room = window.room();
            const auto space = room == 0 ? WindowWriter::Space{} : window.space(std::min(size - done, room));
            if (space.size == 0) break;
            for (size_t i = 0; i < space.size; ++i) space.data[i] = byte_at(out.out + i);
            window.publish(space.size);
            done += space.size;
        }
        return done;
    }

    /// Reads at most `size` bytes and compares them; answers how many there were.
    size_t read(size_t size) {
        WindowReader window = reader();
        size_t done = 0;
        while (done < size) {
            stream::Run run;
            const auto answer = window.peek(in.in, run);
            EXPECT_NE(answer, WindowReader::Answer::kLie);
            if (answer != WindowReader::Answer::kBytes) break;
            const size_t take = std::min(run.size, size - done);
            for (size_t i = 0; i < take; ++i) {
                if (run.data[i] != byte_at(in.in + i)) {
                    ADD_FAILURE() << "byte " << in.in + i << " is not what was written";
                    return done;
                }
            }
            in.in += take;
            done += take;
        }
        return done;
    }

    memory::Arena arena;
    memory::PeerArena peer_arena;
    memory::Slot *slot;
    OutState out{};
    InState in{};
};

}  // namespace sansock::stream
