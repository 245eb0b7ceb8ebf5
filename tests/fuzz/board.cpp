// What a process shows of its connections: nothing is read beyond what was read of it, and no text leaves that would steer a terminal.
#include "control/board_view.hpp"
#include "fuzz.hpp"

using namespace sansock;
using socket::BoardHeader, socket::BoardTable;

namespace {

bool is_clean(const std::string &text) {
    return std::all_of(text.begin(), text.end(), [](unsigned char one) { return one >= 0x20 && one != 0x7f; });
}

void read_all(const control::BoardRows &rows, const BoardTable &table) {
    MUST(rows.count() <= table.rows_max);
    for (uint32_t row = 0; row < std::min(rows.count(), 3u); ++row) {
        for (uint32_t i = 0; i < table.fields; ++i) {
            const std::string name = table.field[i].name;
            const uint32_t width = rows.find(name)->size;  // of two fields with one name, the first is meant
            MUST(is_clean(rows.text(row, name)) && rows.text(row, name).size() <= size_t{4} * width);
            MUST(is_clean(rows.address(row, name)));
            MUST(rows.numbers(row, name).size() == width / 4 && rows.counts(row, name).size() == width / 8);
            MUST(width > 8 || width == 8 || rows.number(row, name) >> (8 * width) == 0);
        }
        MUST(rows.number(row, "no such field") == 0 && rows.text(row, "no such field").empty());
    }
    MUST(rows.text(rows.count(), "phase").empty() && rows.number(UINT32_MAX, "phase") == 0);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz::Input input(data, size);
    BoardHeader header{.magic = socket::kBoardMagic};
    // Tables that are no worse than that, or there is nothing to be read: then the bytes of a header, and of the rows.
    for (BoardTable *table : {&header.connections, &header.totals, &header.providers}) {
        table->used_at = static_cast<uint32_t>(input.number(sizeof header));
        table->rows_at = static_cast<uint32_t>(input.number(sizeof header + 8));
        table->row_size = static_cast<uint32_t>(input.number(table == &header.connections ? 256 : 16));
        table->rows_max = static_cast<uint32_t>(input.number(1));
        table->fields = input.below(socket::kBoardFieldsMax + 2);
        for (uint32_t i = 0; i < std::min(table->fields, socket::kBoardFieldsMax); ++i) {
            input.copy(table->field[i].name, input.below(sizeof table->field[i].name + 1));
            table->field[i].offset = static_cast<uint32_t>(input.number(0));
            table->field[i].size = static_cast<uint32_t>(input.number(8));
        }
    }
    header.reasons = input.below(socket::kBoardReasonsMax + 2);
    input.copy(header.reason, input.below(64));
    input.copy(header.version, input.below(sizeof header.version + 1));
    if (input.below(16) == 0) input.copy(&header, sizeof header);
    std::string bytes(reinterpret_cast<const char *>(&header), sizeof header);
    bytes.append(input.all()).append(input.left() % 3 == 0 ? 4096 : 0, '\1');

    UniqueFd fd = fuzz::memory_file(bytes);
    auto view = control::BoardView::open(fd);
    MUST(static_cast<bool>(view) == !fd);  // taken over, or left
    if (!view) return 0;
    MUST(is_clean((*view)->version()));
    for (const uint64_t number : {uint64_t{0}, uint64_t{63}, uint64_t{64}, UINT64_MAX}) MUST(is_clean((*view)->reason(number)));
    if ((*view)->refresh(65536)) {
        MUST((*view)->bytes_read() <= bytes.size() * 3);
        read_all((*view)->connections, header.connections);
        read_all((*view)->totals, header.totals);
        read_all((*view)->providers, header.providers);
    }
    (*view)->forget();
    MUST((*view)->bytes_read() == 0 && (*view)->connections.count() == 0);
    return 0;
}
