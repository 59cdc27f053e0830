// SPDX-License-Identifier: MIT
// toml++ behind a C interface. No exception leaves this file.
//
// Two weaknesses of toml++ 3.3 are kept away from it by looking over the text first, a third is
// mended where it is included:
// - It limits nested values but not the parts of a dotted key, and it walks and frees its tree by
//   recursion: a file of one long key would overflow the stack. The depth of the tree is now at
//   most about (2 + RUSM__TOML_VALUE_DEPTH) * RUSM__TOML_KEY_PARTS levels.
// - It takes for granted that a table header begins with a key: `[=` fails an assertion, or in a
//   build without assertions is undefined behaviour.
// Should another of its assertions fail, it throws: a manifest must not end a node.
extern "C" {
#include "manifest/toml_shim.h"

#include "rusm/error.h"
}

#include <algorithm>
#include <exception>
#include <new>
#include <string_view>

#undef NDEBUG // with it, toml++ turns its assertions into promises to the optimiser
namespace {
struct broken_assertion {};
[[noreturn]] void break_off() {
    throw broken_assertion{};
}
} // namespace
#define TOML_ASSERT(condition) ((condition) ? void(0) : break_off())
#define TOML_EXCEPTIONS        1
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES RUSM__TOML_VALUE_DEPTH

// Its test for blanks promises that some letters (U+00A1 to U+0499 and others) are never asked
// about, which is wrong: they are simply no blanks.
#include <toml++/impl/forward_declarations.h>
#pragma push_macro("TOML_UNREACHABLE")
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE return false
#include <toml++/impl/unicode.h>
#pragma pop_macro("TOML_UNREACHABLE")

#include <toml++/toml.h>

static_assert(TOML_LIB_MAJOR == 3, "the shim was written for toml++ 3");

namespace {

// ---- looking over the text -----------------------------------------------------------------

// Follows strings, comments and brackets exactly as TOML defines them. Where the text is not TOML,
// toml++ stops before anything that this scanner might have misread.
class scanner {
  public:
    explicit scanner(std::string_view text) : text_(text) {
    }

    // What is wrong, at at(); nullptr if toml++ may have the text.
    const char *run() {
        while (next_ < text_.size()) {
            if (const char *problem = step()) {
                return problem;
            }
        }
        return nullptr;
    }

    rusm__pos at() const {
        rusm__pos at = {1, 1};
        for (size_t i = 0; i < next_; i++) {
            const auto c = static_cast<unsigned char>(text_[i]);
            if (c == '\n') {
                at = {at.line + 1, 1};
            } else if ((c & 0xc0) != 0x80) {
                at.column++;
            }
        }
        return at;
    }

  private:
    std::string_view text_;
    size_t next_ = 0;
    size_t dots_ = 0;   // since the last character that cannot stand inside a dotted key
    size_t depth_ = 0;  // of open brackets and braces
    bool fresh_ = true; // nothing but blanks since the beginning of the line

    const char *step() {
        const char c = text_[next_];
        const bool header = c == '[' && fresh_ && depth_ == 0;
        fresh_ = c == '\n' || (fresh_ && is_blank(c));
        switch (c) {
        case '#':
            next_ = std::min(text_.find('\n', next_), text_.size());
            return nullptr;
        case '"':
        case '\'':
            skip_string(c);
            return nullptr;
        case '.':
            if (++dots_ >= RUSM__TOML_KEY_PARTS) {
                return "a dotted key has too many parts";
            }
            break;
        default:
            note_mark(c);
            break;
        }
        next_++;
        return header ? check_header() : nullptr;
    }

    // Marks that end a dotted key. A newline does not close brackets: lists go over lines.
    void note_mark(char c) {
        if (c == '[' || c == '{') {
            depth_++;
        } else if ((c == ']' || c == '}') && depth_ > 0) {
            depth_--;
        } else if (c != '\n' && c != '=' && c != ',') {
            return;
        }
        dots_ = 0;
    }

    static bool is_blank(char c) {
        return c == ' ' || c == '\t';
    }

    static bool begins_key(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '"' || c == '\'';
    }

    // Behind the bracket of a table header: only a key may follow. An empty header, the end of the
    // text and `[ [` are things that toml++ explains itself.
    const char *check_header() {
        const bool list = next_ < text_.size() && text_[next_] == '[';
        size_t key = next_ + list;
        while (key < text_.size() && is_blank(text_[key])) {
            key++;
        }
        if (key >= text_.size() || text_[key] == ']' || begins_key(text_[key]) ||
            (text_[key] == '[' && !list)) {
            return nullptr;
        }
        next_ = key;
        return "expected a key behind the bracket of a table header";
    }

    bool three(char quote) const {
        return text_.size() - next_ >= 3 && text_[next_] == quote && text_[next_ + 1] == quote &&
               text_[next_ + 2] == quote;
    }

    void skip_string(char quote) {
        const bool multi_line = three(quote);
        next_ += multi_line ? 3 : 1;
        while (next_ < text_.size()) {
            if (text_[next_] == '\\' && quote == '"') {
                next_ = std::min(next_ + 2, text_.size());
            } else if (text_[next_] != quote) {
                next_++;
            } else if (!multi_line) {
                next_++;
                return;
            } else if (three(quote)) {
                skip_end(quote);
                return;
            } else {
                next_++;
            }
        }
    }

    // The end of a multi-line string: up to two of the quotes before it belong to the string.
    void skip_end(char quote) {
        next_ += 3;
        for (int more = 0; more < 2 && next_ < text_.size() && text_[next_] == quote; more++) {
            next_++;
        }
    }
};

// ---- the tree ------------------------------------------------------------------------------

rusm__pos place(const toml::source_position &from) {
    return {from.line, from.column};
}

bool copy_node(rusm__arena *arena, const toml::node &from, rusm__toml *to);

bool copy_text(rusm__arena *arena, std::string_view from, const char **out_text, size_t *out_len) {
    *out_text = rusm__arena_try_strndup(arena, from.data(), from.size());
    *out_len = from.size();
    return *out_text != nullptr;
}

bool copy_table(rusm__arena *arena, const toml::table &from, rusm__toml *to) {
    auto *items =
        static_cast<rusm__toml *>(rusm__arena_try_array(arena, from.size(), sizeof(rusm__toml)));
    if (items == nullptr) {
        return false;
    }
    to->kind = RUSM__TOML_TABLE;
    to->as.list.items = items;
    to->as.list.count = from.size();
    for (auto &&[key, value] : from) {
        items->key_at = place(key.source().begin);
        if (!copy_text(arena, key.str(), &items->key, &items->key_len) ||
            !copy_node(arena, value, items)) {
            return false;
        }
        items++;
    }
    return true;
}

bool copy_list(rusm__arena *arena, const toml::array &from, rusm__toml *to) {
    auto *items =
        static_cast<rusm__toml *>(rusm__arena_try_array(arena, from.size(), sizeof(rusm__toml)));
    if (items == nullptr) {
        return false;
    }
    to->kind = RUSM__TOML_LIST;
    to->as.list.items = items;
    to->as.list.count = from.size();
    for (auto &&value : from) {
        if (!copy_node(arena, value, items)) {
            return false;
        }
        items++;
    }
    return true;
}

bool copy_node(rusm__arena *arena, const toml::node &from, rusm__toml *to) {
    to->at = place(from.source().begin);
    switch (from.type()) {
    case toml::node_type::table:
        return copy_table(arena, *from.as_table(), to);
    case toml::node_type::array:
        return copy_list(arena, *from.as_array(), to);
    case toml::node_type::string:
        to->kind = RUSM__TOML_STRING;
        return copy_text(arena, from.as_string()->get(), &to->as.string.ptr, &to->as.string.len);
    case toml::node_type::integer:
        to->kind = RUSM__TOML_INTEGER;
        to->as.integer = from.as_integer()->get();
        return true;
    case toml::node_type::floating_point:
        to->kind = RUSM__TOML_FLOAT;
        to->as.real = from.as_floating_point()->get();
        return true;
    case toml::node_type::boolean:
        to->kind = RUSM__TOML_BOOLEAN;
        to->as.boolean = from.as_boolean()->get();
        return true;
    default:
        to->kind = RUSM__TOML_DATE;
        return true;
    }
}

// ---- errors --------------------------------------------------------------------------------

int fail(rusm__toml_error *error, rusm__pos at, std::string_view text) {
    constexpr std::string_view prefix = "Error while parsing ";
    if (text.substr(0, prefix.size()) == prefix) {
        text.remove_prefix(prefix.size());
    }
    // Line 0 would mean "about the whole file"; toml++ gives it for an error at the very start.
    error->at = at.line == 0 ? rusm__pos{1, 1} : at;
    const size_t len = std::min(text.size(), sizeof(error->text) - 1);
    for (size_t i = 0; i < len; i++) { // toml++ quotes the file's characters as they are
        const auto c = static_cast<unsigned char>(text[i]);
        error->text[i] = c < 0x20 || c == 0x7f ? '?' : text[i];
    }
    error->text[len] = '\0';
    return RUSM_ECONFIG;
}

int parse(rusm__arena *arena, std::string_view text, rusm__toml **out_root,
          rusm__toml_error *error) {
    scanner scan(text);
    if (const char *problem = scan.run()) {
        return fail(error, scan.at(), problem);
    }
    const toml::table root = toml::parse(text);
    auto *copy = static_cast<rusm__toml *>(rusm__arena_try_alloc(arena, sizeof(rusm__toml)));
    if (copy == nullptr || !copy_node(arena, root, copy)) {
        return RUSM_ENOMEM;
    }
    *out_root = copy;
    return RUSM_OK;
}

} // namespace

int rusm__toml_parse(rusm__arena *arena, const char *text, size_t len, rusm__toml **out_root,
                     rusm__toml_error *error) {
    *out_root = nullptr;
    *error = {};
    if (len > RUSM__TOML_BYTES_MAX) {
        return fail(error, {1, 1}, "larger than 1 MiB");
    }
    try {
        return parse(arena, {text, len}, out_root, error);
    } catch (const toml::parse_error &problem) {
        return fail(error, place(problem.source().begin), problem.description());
    } catch (const broken_assertion &) {
        return fail(error, {1, 1}, "the parser cannot make sense of the file");
    } catch (const std::bad_alloc &) {
        return RUSM_ENOMEM;
    } catch (const std::exception &problem) {
        return fail(error, {1, 1}, problem.what());
    } catch (...) {
        return fail(error, {1, 1}, "the parser gave up for an unknown reason");
    }
}
