/**
 * What the daemons of two hosts ask each other, over TLS with certificates of both: each message a frame of four bytes that say how long it
 * is, most significant first, and so many bytes of Thrift's binary protocol.
 *
 * Field numbers are never used again for something else; a reader takes what it does not know for absent.
 */
namespace cpp sansock.control.wire

/** One end of a TCP connection. */
struct Side {
  /** 16 bytes; an IPv4 address as IPv6 maps it. */
  1: binary address
  2: i32 port
}

struct Question {
  /** Of whoever asks: 1. */
  1: i32 version
  /** The asking host's end, whose address its certificate has to name. */
  2: Side asker
  3: Side holder
  /** Of the asking process, which is known by it for as long as it is known. */
  4: i64 asker_key
}

enum Outcome {
  HERE = 1
  NOT_THERE = 2
  REFUSED = 4
  BUSY = 5
}

struct Answer {
  1: Outcome outcome
  /** 16 bytes, to be shown once and soon at the channel port. */
  2: binary token
  /** Of the process that holds the connection. */
  3: i64 holder_key
  4: i32 channel_port
  /** Where the outcome is not HERE, for people. */
  5: string why
}

service Rendezvous {
  /** Which process of the host that is asked holds the other end of a connection. The process hears of the question. */
  Answer look_up(1: Question question)
}
