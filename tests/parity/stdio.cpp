#include <aio.h>
#include <execinfo.h>
#include <fcntl.h>

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <string>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

int formatted(int fd, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int n = vdprintf(fd, format, arguments);
    va_end(arguments);
    return n;
}

FILE *stream_of(int fd, const char *mode) {
    FILE *stream = fdopen(fd, mode);
    if (stream == nullptr) die("fdopen");
    return stream;
}

}  // namespace

// C streams and other parts of libc that read and write a connection by themselves.
Subject stdio() {
    Subject cases{"stdio"};
    cases.add("print_to_a_stream", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c.fd, "w");
        t.value("fprintf", fprintf(stream, "%s %d\n", "line", 1));
        t.value("fputs", fputs("line 2\n", stream) >= 0);
        t.value("fputc", fputc('!', stream));
        t.value("fwrite", static_cast<long>(fwrite("abc", 1, 3, stream)));
        t.value("unread at the peer before the flush", c.peer.unread().result);
        t.value("fflush", fflush(stream));
        t.outcome("peer", c.peer.receive_up_to(18));
        t.value("fclose", fclose(stream));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("read_lines_from_a_stream", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c.fd, "r");
        c.peer.send("first\nsecond\nthird 3\nfourth");
        c.peer.shutdown(SHUT_WR);
        char line[32];
        t.says("fgets", fgets(line, sizeof line, stream) != nullptr ? shown(line) : "nothing");
        char *text = nullptr;
        std::size_t room = 0;
        t.value("getline", getline(&text, &room, stream));
        int number = 0;
        t.value("fscanf", fscanf(stream, "%31s %d", line, &number));
        t.value("number", number);
        t.value("fgetc", fgetc(stream));
        t.data("fread", static_cast<ssize_t>(fread(line, 1, sizeof line, stream)), line);
        t.value("feof", feof(stream) != 0);
        free(text);
    });

    cases.add("both_ways_through_streams", [](Case &t) {
        const auto c = t.connect();
        FILE *in = stream_of(c.fd, "r");
        FILE *out = stream_of(dup(c.fd), "w");
        setvbuf(out, nullptr, _IOLBF, 0);
        for (int i = 0; i < 20; ++i) {
            char line[32];
            c.peer.start_echo(8);
            fprintf(out, "line %02d\n", i);
            t.says("fgets", fgets(line, sizeof line, in) != nullptr ? std::string(line, 7) : "nothing");
            c.peer.finish();
        }
    });

    cases.add("one_stream_for_both_ways", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c.fd, "r+");
        fprintf(stream, "question\n");
        t.value("fflush", fflush(stream));
        t.outcome("peer", c.peer.receive_up_to(9));
        c.peer.send("answer\n");
        char line[16];
        t.says("fgets", fgets(line, sizeof line, stream) != nullptr ? std::string(line, 6) : "nothing");
        t.value("fileno", fileno(stream) == c.fd);
    });

    cases.add("streams_between_plain_calls", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "one ", 4, 0));
        FILE *stream = stream_of(dup(c.fd), "w");
        fprintf(stream, "two ");
        fclose(stream);
        t.value("send", send(c.fd, "three ", 6, 0));
        t.value("dprintf", dprintf(c.fd, "%s ", "four"));
        t.value("write", write(c.fd, "five", 4));
        t.outcome("peer", c.peer.receive_up_to(23));
        c.peer.send("reply");
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("print_to_a_descriptor", [](Case &t) {
        const auto c = t.connect();
        t.value("dprintf", dprintf(c.fd, "%d-%s", 42, "text"));
        t.value("vdprintf", formatted(c.fd, "/%c", 'z'));
        t.outcome("peer", c.peer.receive_up_to(9));
    });

    cases.add("backtrace_to_a_descriptor", [](Case &t) {
        const auto c = t.connect();
        void *const frame = reinterpret_cast<void *>(&fclose);
        backtrace_symbols_fd(&frame, 1, c.fd);
        shutdown(c.fd, SHUT_WR);
        t.yes_no("peer", c.peer.receive_to_end().bytes.find("libc.so.6") != std::string::npos);
    });

    cases.add("standard_output", [](Case &t) {
        const auto c = t.connect();
        fflush(stdout);
        must("dup2", dup2(c.fd, STDOUT_FILENO));
        t.value("printf", printf("%s\n", "printed"));
        t.value("puts", puts("put") >= 0);
        t.value("fflush", fflush(stdout));
        t.outcome("peer", c.peer.receive_up_to(12));
    });

    cases.add("standard_input", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, STDIN_FILENO));
        c.peer.send("typed 7\nrest\n");
        char word[8];
        int number = 0;
        t.value("scanf", scanf("%7s %d", word, &number));
        t.says("word", word);
        t.value("getchar", getchar());
        char line[8];
        t.says("fgets", fgets(line, sizeof line, stdin) != nullptr ? std::string(line, 4) : "nothing");
    });

    cases.add("standard_error", [](Case &t) {
        const auto c = t.connect();
        const int kept = dup(STDERR_FILENO);
        must("dup2", dup2(c.fd, STDERR_FILENO));
        errno = EPERM;
        perror("complaint");
        fprintf(stderr, "more\n");
        psignal(SIGPIPE, "named");
        must("dup2", dup2(kept, STDERR_FILENO));
        shutdown(c.fd, SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("a_stream_at_the_end", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c.fd, "r");
        c.peer.close();
        t.value("fgetc", fgetc(stream));
        t.value("feof", feof(stream) != 0);
        t.value("ferror", ferror(stream) != 0);
    });

    cases.add("a_stream_that_was_reset", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c.fd, "r");
        c.peer.reset();
        t.await(c.fd, POLLERR);
        errno = 0;
        t.value("fgetc", fgetc(stream));
        t.says("errno", errno_name(errno));
        t.value("ferror", ferror(stream) != 0);
    });

    cases.add("a_large_stream", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c.fd, "r+");
        std::string expected;
        for (int i = 0; i < 10'000; ++i) expected += "line " + std::to_string(i) + "\n";
        c.peer.start_echo(expected.size());
        fputs(expected.c_str(), stream);
        fflush(stream);
        std::string got(expected.size(), '\0');
        t.value("fread", static_cast<long>(fread(got.data(), 1, got.size(), stream)));
        t.yes_no("the same", got == expected);
        c.peer.finish();
    });

    cases.add("wide_characters", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c.fd, "w");
        t.value("fwprintf", fwprintf(stream, L"%ls %d", L"wide", 9));
        t.value("fclose", fclose(stream));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("asynchronous_read_and_write", [](Case &t) {
        const auto c = t.connect();
        char out[] = "aio";
        aiocb request{};
        request.aio_fildes = c.fd;
        request.aio_buf = out;
        request.aio_nbytes = 3;
        t.value("aio_write", aio_write(&request));
        const aiocb *list[] = {&request};
        t.value("aio_suspend", aio_suspend(list, 1, nullptr));
        t.value("aio_return", aio_return(&request));
        t.outcome("peer", c.peer.receive_up_to(3));
        char in[8];
        request.aio_buf = in;
        request.aio_nbytes = sizeof in;
        c.peer.send("back");
        t.await_unread(c.fd, 4);
        t.value("aio_read", aio_read(&request));
        t.value("aio_suspend", aio_suspend(list, 1, nullptr));
        t.data("aio_return", aio_return(&request), in);
    });

    cases.add("asynchronous_of_64_bits", [](Case &t) {
        const auto c = t.connect();
        char out[] = "aio";
        aiocb64 request{};
        request.aio_fildes = c.fd;
        request.aio_buf = out;
        request.aio_nbytes = 3;
        const aiocb64 *list[] = {&request};
        t.value("aio_write64", aio_write64(&request));
        t.value("aio_suspend64", aio_suspend64(list, 1, nullptr));
        t.says("aio_error64", errno_name(aio_error64(&request)));
        t.value("aio_return64", aio_return64(&request));
        t.outcome("peer", c.peer.receive_up_to(3));
        c.peer.send("back");
        t.await_unread(c.fd, 4);
        char in[8];
        request.aio_buf = in;
        request.aio_nbytes = sizeof in;
        t.value("aio_read64", aio_read64(&request));
        t.value("aio_suspend64", aio_suspend64(list, 1, nullptr));
        t.data("aio_return64", aio_return64(&request), in);
        t.value("aio_cancel64 of what is done", aio_cancel64(c.fd, &request));
        t.value("aio_fsync64", aio_fsync64(O_SYNC, &request));
        t.value("aio_suspend64", aio_suspend64(list, 1, nullptr));
        t.says("aio_error64", errno_name(aio_error64(&request)));
        t.still_works(c);
    });

    cases.add("asynchronous_lists", [](Case &t) {
        const auto c = t.connect();
        char out[] = "lists", in[4];
        aiocb write{}, read{};
        write.aio_fildes = read.aio_fildes = c.fd;
        write.aio_lio_opcode = LIO_WRITE;
        write.aio_buf = out;
        write.aio_nbytes = 5;
        read.aio_lio_opcode = LIO_READ;
        read.aio_buf = in;
        read.aio_nbytes = sizeof in;
        c.peer.send("back");
        t.await_unread(c.fd, 4);
        aiocb *both[] = {&write, &read};
        t.value("lio_listio", lio_listio(LIO_WAIT, both, 2, nullptr));
        t.value("aio_return", aio_return(&write));
        t.data("aio_return", aio_return(&read), in);
        t.outcome("peer", c.peer.receive_up_to(5));
        t.value("aio_cancel of nothing", aio_cancel(c.fd, nullptr));
        t.still_works(c);
    });

    cases.add("asynchronous_lists_of_64_bits", [](Case &t) {
        const auto c = t.connect();
        char out[] = "lists";
        aiocb64 write{};
        write.aio_fildes = c.fd;
        write.aio_lio_opcode = LIO_WRITE;
        write.aio_buf = out;
        write.aio_nbytes = 5;
        aiocb64 *list[] = {&write};
        t.value("lio_listio64", lio_listio64(LIO_WAIT, list, 1, nullptr));
        t.value("aio_return64", aio_return64(&write));
        t.outcome("peer", c.peer.receive_up_to(5));
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
