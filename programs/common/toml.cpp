/* Parses TOML with toml++ and reports one value after the other. This is the only C++ file: Debian
   packages no TOML library for C. See toml.h. */

/* toml++ 3.3 ends the process at an assertion where a document has, for example, [.] or [#. Its
   assertions are checks of the document here, whatever NDEBUG says: see parse(). */
namespace {
struct broken_assertion {};
[[noreturn]] void break_off() { throw broken_assertion{}; }
} // namespace
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : break_off())
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#ifndef PROG_TOML
#define PROG_TOML
#endif
#include "toml.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

struct walk {
    int (*each)(void *user, const prog_toml_value *value);
    void *user;
    uint32_t line;
    char *message;
    size_t message_size;
};

int refuse(walk &w, const toml::node &node, const char *why)
{
    w.line = node.source().begin.line;
    std::snprintf(w.message, w.message_size, "%s", why);
    return -1;
}

/* Behind the string that begins here. */
std::size_t skip_string(std::string_view document, std::size_t at)
{
    const char quote = document[at];
    const std::string three(3, quote);
    const bool is_long = document.compare(at, 3, three) == 0;
    for (at += is_long ? 3 : 1; at < document.size(); at++) {
        if (quote == '"' && document[at] == '\\') at++;
        else if (is_long && document.compare(at, 3, three) == 0) return at + 3;
        else if (!is_long && (document[at] == quote || document[at] == '\n')) return at + 1;
    }
    return document.size();
}

/* toml++ 3.3 limits the depth of values, but not of dotted keys, and its destructors are recursive.
   Returns the line of a key with too many dots; 0: there is none. */
std::uint32_t find_deep_key(std::string_view document)
{
    constexpr int dots_max = 4 * PROG_TOML_DEPTH_MAX;
    std::uint32_t line = 1;
    int dots = 0;
    for (std::size_t at = 0; at < document.size();) {
        const char c = document[at];
        const std::size_t begin = at;
        if (c == '"' || c == '\'') at = skip_string(document, at);
        else if (c == '#') at = std::min(document.find('\n', at), document.size());
        else at++;
        if (c == '.' && ++dots > dots_max) return line;
        if (std::strchr("\n#=,[]{}", c)) dots = 0;
        line += static_cast<std::uint32_t>(std::count(document.begin() + begin, document.begin() + at, '\n'));
    }
    return 0;
}

/* A document without a result broke an assertion. */
std::optional<toml::parse_result> parse(std::string_view document)
{
    try {
        return toml::parse(document);
    } catch (const broken_assertion &) {
        return std::nullopt;
    }
}

/* The line at which a document breaks an assertion: all beginnings that have it do, and no shorter one. */
std::uint32_t find_broken_line(std::string_view document)
{
    std::vector<std::size_t> ends;
    for (std::size_t at = 0; at < document.size(); ends.push_back(at))
        at = std::min(document.find('\n', at), document.size() - 1) + 1;
    const auto first = std::partition_point(ends.begin(), ends.end(),
                                            [&](std::size_t end) { return parse(document.substr(0, end)).has_value(); });
    return static_cast<std::uint32_t>(first - ends.begin()) + 1;
}

int visit(walk &w, const toml::node &node, prog_toml_value value);

int report_empty(walk &w, const toml::node &node, prog_toml_value value)
{
    value.line = node.source().begin.line;
    value.kind = PROG_TOML_EMPTY;
    return w.each(w.user, &value);
}

/* toml++ sorts the keys of a table; the order of the document is that of the places in it. */
std::vector<std::pair<const toml::node *, std::string>> in_order(const toml::table &table)
{
    std::vector<std::pair<const toml::node *, std::string>> nodes;
    for (auto &&[key, node] : table) nodes.emplace_back(&node, std::string{key.str()});
    std::stable_sort(nodes.begin(), nodes.end(), [](const auto &a, const auto &b) {
        const toml::source_position x = a.first->source().begin, y = b.first->source().begin;
        return x.line != y.line ? x.line < y.line : x.column < y.column;
    });
    return nodes;
}

int visit_table(walk &w, const toml::table &table, const prog_toml_value &value)
{
    if (value.depth == PROG_TOML_DEPTH_MAX) return refuse(w, table, "nested too deep");
    if (table.empty() && value.depth) return report_empty(w, table, value);
    for (const auto &[node_at, name] : in_order(table)) {
        const toml::node &node = *node_at;
        prog_toml_value inner = value;
        if (name.find('\0') != std::string::npos) return refuse(w, node, "a key has a zero byte");
        inner.keys[inner.depth] = name.c_str();
        inner.places[inner.depth] = 0;
        inner.listed[inner.depth] = false;
        inner.depth++;
        const int result = visit(w, node, inner);
        if (result) return result;
    }
    return 0;
}

int visit_array(walk &w, const toml::array &array, prog_toml_value value)
{
    uint32_t place = 0;
    if (array.empty()) return report_empty(w, array, value);
    for (const toml::node &node : array) {
        if (node.is_array()) return refuse(w, node, "arrays in arrays are not supported");
        value.places[value.depth - 1] = place++;
        value.listed[value.depth - 1] = true;
        const int result = visit(w, node, value);
        if (result) return result;
    }
    return 0;
}

int visit(walk &w, const toml::node &node, prog_toml_value value)
{
    std::string text;
    if (const toml::table *table = node.as_table()) return visit_table(w, *table, value);
    if (const toml::array *array = node.as_array()) return visit_array(w, *array, value);
    value.line = node.source().begin.line;
    value.kind = PROG_TOML_OTHER;
    if (node.is_string()) {
        text = node.as_string()->get();
        if (text.find('\0') != std::string::npos) return refuse(w, node, "a string has a zero byte");
        value.kind = PROG_TOML_TEXT;
        value.text = text.c_str();
    } else if (node.is_integer()) {
        value.kind = PROG_TOML_INTEGER;
        value.number = node.as_integer()->get();
        value.fraction = static_cast<double>(value.number);
    } else if (node.is_floating_point()) {
        value.kind = PROG_TOML_FRACTION;
        value.fraction = node.as_floating_point()->get();
    } else if (node.is_boolean()) {
        value.kind = PROG_TOML_BOOL;
        value.number = node.as_boolean()->get();
    }
    return w.each(w.user, &value);
}

} // namespace

extern "C" int prog_toml_read(const char *document, size_t size,
                              int (*each)(void *user, const prog_toml_value *value), void *user,
                              uint32_t *line, char *message, size_t message_size)
{
    walk w{each, user, 0, message, message_size};
    *line = find_deep_key(std::string_view{document, size});
    if (*line) {
        std::snprintf(message, message_size, "nested too deep");
        return -1;
    }
    const std::optional<toml::parse_result> parsed = parse(std::string_view{document, size});
    int status = -1;
    if (!parsed) {
        std::snprintf(message, message_size, "neither a key nor a table");
        *line = find_broken_line(std::string_view{document, size});
        return -1;
    }
    const toml::parse_result &result = *parsed;
    if (!result) {
        const std::string why{result.error().description()};
        std::snprintf(message, message_size, "%s", why.c_str());
        *line = result.error().source().begin.line;
        return -1;
    }
    status = visit_table(w, result.table(), prog_toml_value{});
    *line = w.line;
    return status;
}

#define TEXT_OF(number) #number
#define VERSION_OF(major, minor, patch) "toml++ " TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *prog_toml_library(void) { return VERSION_OF(TOML_LIB_MAJOR, TOML_LIB_MINOR, TOML_LIB_PATCH); }
