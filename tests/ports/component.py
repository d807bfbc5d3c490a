#!/usr/bin/env python3
"""examples/www/component.py: good templates become tables that dx_page.h takes; bad ones an error with its place and what to write.

DX_TEST_SEED=n, DX_TEST_RUNS=n: that many times the random templates. --markups COUNT prints good ones, for a browser (feed.mjs).
"""
import ast, importlib.util, json, os, random, re, subprocess, sys, tempfile, time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
SOURCE = f"{TOP}/examples/www/component.py"
spec = importlib.util.spec_from_file_location("component", SOURCE)
component = importlib.util.module_from_spec(spec)
spec.loader.exec_module(component)
WORK = tempfile.mkdtemp(prefix="component.")
dice = random.Random(int(os.environ.get("DX_TEST_SEED", "1")))
RUNS = int(os.environ.get("DX_TEST_RUNS", "1"))
STRICT = os.environ.get("CC", "cc").split() + "-std=c11 -Wall -Wextra -Werror -Wno-unused-function -O1 -DDX_IMPLEMENTATION".split() + [f"-I{TOP}"]
counts, hit = [0, 0], set()


def case(test):
    begin = time.monotonic()
    try:
        said = test() or ""
        counts[0] += 1
        print(f"ok   {test.__name__}{said and ': '}{said} ({time.monotonic() - begin:.1f} s)")
    except Exception as error:
        counts[1] += 1
        print(f"FAIL {test.__name__}: {type(error).__name__} {error}")


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def compile_(text, name="page.html"):
    """The compiler after reading, its errors sorted; the places in its source that made one are noted."""
    path = f"{WORK}/{name}"
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    compiler = component.Compiler(path)
    wrong = compiler.wrong

    def note(at, message):
        frame = sys._getframe(1)
        hit.add(frame.f_back.f_lineno if frame.f_code.co_name == "stop" else frame.f_lineno)
        wrong(at, message)
    compiler.wrong = note
    compiler.translate()
    return compiler, sorted(set(compiler.errors))


def one(body, state="int32_t a, b; char t[9]; uint8_t on"):
    return f'<template id="c" state="{state}">{body}</template>'


def rows(list_, row='<template id="r" key="k" state="uint32_t k"><li></li></template>'):
    return f'<template id="c"><ul>{list_}</ul></template>{row}'


# A template, and parts of the error at the place that ^ marks in it.
BAD = [
    ("^", "no component; write <template"),
    ("^<p></p>", "outside of a component; write <template"),
    ("^text", "text outside of a component"),
    ("<template id=\"c\">^text<p></p></template>", "text outside of a component's element; write it inside"),
    ("<template id=\"c\"><p></p>^text</template>", "write it inside"),
    ("^<!doctype html>", "no declaration is needed"),
    ("^<?php ?>", "no declaration"),
    ("<template id=\"c\"><p>^<![CDATA[x]]></p></template>", "no declaration"),
    (one("<p></p>^<p></p>"), "second element of the component; write one around"),
    (one("^"), "has no element"),
    ("^<template id=\"c\">", "<template> is not closed; write </template>"),
    ("<template id=\"c\">^<p>", "<p> is not closed; write </p>"),
    ("<template id=\"c\"><p>^<b ", "does not end; write the '>'"),
    ("<template id=\"c\"><p>^<!-- no end", "does not end"),
    (one("<p>^</3></p>"), "write &lt;"),
    (one("<p><b>\n^</p></b>"), "</p>, but <b> of line 1 is open; write </b> first"),
    (one("<p></p>^</p>"), "closes nothing"),
    (one("<p><br>^</br></p>"), "<br> has no end tag"),
    (one("<p>^</p x>"), "write </p>"),
    (one("<p>^<b/></p>"), "no <b/>; write <b></b>"),
    (one("^<br>"), "cannot hold anything"),
    (one("<p>^<script>alert(1)</script></p>"), "<script> is refused"),
    (one("<p>^<template></template></p>"), "each="),
    (one("<p>^<x_y></x_y></p>"), "no"),
    (one("<b>" * 32 + "^<i></i>" + "</b>" * 32), "more than 32 elements in one another; write a component"),
    (one("<p>a ^& b</p>"), "write &amp;"),
    (one("<p>^&nosuch;</p>"), "write &amp;"),
    (one("<p>1 ^< 2</p>"), "write &lt;"),
    (one("<p>^&#1;</p>"), "that HTML does not have"),
    (one('<p title="a ^& b"></p>'), "write &amp;"),
    ('<template id="^main"><p></p></template>', "a name of the C library; write another"),
    ('<template id="^printf"><p></p></template>', "a name of the C library; write another"),
    ('<template id="^memcpy"><p></p></template>', "a name of the C library; write another"),
    ('<template id="^sinf"><p></p></template>', "a name of the C library; write another"),
    ('<template id="^unix"><p></p></template>', "a name of the C library; write another"),
    (one("<p></p>", "int32_t ^errno"), "has a meaning in C"),
    (one("<p></p>", "int32_t ^unix"), "has a meaning in C"),
    # Attributes.
    (one('<p title="a" ^title="b"></p>'), "title is there twice"),
    (one("<p ^title></p>"), 'write title=""'),
    (one("<p ^title=x></p>"), 'write title="x"'),
    (one('<p^ "x"></p>'), "is not a tag as it stands"),
    (one('<p ^onclick="run()"></p>'), "write on:click"),
    (one('<p ^ONCLICK="run()"></p>'), "small letters"),
    (one('<p ^x_y="1"></p>'), "no attribute 'x_y'; write small letters"),
    (one('<p ^style="x"></p>'), "write style:property"),
    (one('<p ^srcdoc="x"></p>'), "srcdoc is refused"),
    (one('<p ^data-slot=""></p>'), "write {{field}}"),
    (one('<p ^data-on="click:1"></p>'), "write on:click"),
    (one('<a href="^ java&#10;script:x"></a>'), "would run a program"),
    (one('<p class="^a {{on}}"></p>'), "write class:name"),
    (one('<a href="^{{t}}"></a>'), "could be javascript:"),
    (one('<a href="^java{{t}}"></a>'), "could be javascript:"),
    (one('<a href="^javascript:{{t}}"></a>'), "could be javascript:"),
    (one('<a href="^https://{{t}}"></a>'), "write its beginning"),
    (one('<p ^hidden="{{on}}"></p>'), 'write class:hidden="{{field}}"'),
    (one('<p title="^{{a}}{{b}}"></p>'), "at most one binding"),
    (one('<p title="^{{a}} of"></p>'), "at most one binding"),
    (one('<p title="^a}}"></p>'), "at most one binding"),
    (one('<p title="n {{^a}}"></p>'), "after text only a function"),
    (one('<p ^class:="{{on}}"></p>'), "no name of a class"),
    (one('<p ^style:Width="{{t}}"></p>'), "no name of a property"),
    (one('<p ^class:on="yes"></p>'), 'write class:on="{{field}}"'),
    (one('<p ^class:on="x{{on}}"></p>'), 'write class:on="{{field}}"'),
    ('<template id="r" key="k" state="uint32_t k"><li ^id="x"></li></template>', "every row would have this id"),
    # Events.
    (one('<p ^on:focus="x"></p>'), "write on:focusin"),
    (one('<p ^on:load="x"></p>'), "does not bubble"),
    (one('<p ^on:Click2="x"></p>'), "is no event"),
    (one('<p on:click="^x()"></p>'), "is no name of a handler"),
    (one('<p on:click="x" ^on:input="y"></p>'), "a second event of one element"),
    (one("<p>" + "".join(f'<b on:click="h{i}"></b>' for i in range(63)) + '<b on:click="^h63"></b></p>'), "more than 63 handlers"),
    # Bindings.
    (one("<p>{{^cc}}</p>", "int32_t count"), "has no field 'cc'; write it in state"),
    (one("<p>{{^cuont}}</p>", "int32_t count"), "did you mean 'count'?"),
    (one("<p>{{^a.b}}</p>"), "neither a field nor a function"),
    (one("<p>{{^}}</p>"), "neither a field"),
    (one("<p>{{^f()}}</p>"), "write {{f(field)}}"),
    (one("<p>{{^f(a,,b)}}</p>"), "write {{f(field)}}"),
    (one("<p>{{f(a, ^zz)}}</p>"), "has no field 'zz'"),
    (one("<p>{{^F(a)}}</p>"), "no name of a function"),
    (one('<p class:on="{{f(a)}}"><b>{{^f(a)}}</b></p>'), "write two functions"),
    (one("<p>^{{a} }</p>"), "do not match"),
    (one("<p>a ^}} b</p>"), "do not match"),
    (one("<p>^{{ {{ </p>"), "do not match"),
    (one("<p>^{{a}} of it</p>"), "write <span>{{a}}</span>"),
    (one("<p><b></b>^{{a}}</p>"), "write <span>{{a}}</span>"),
    (one("<p>{{a}}^<b></b></p>"), "beside the binding that fills <p>"),
    (one("<p>{{a}}<!-- -->^text</p>"), "text beside the binding"),
    (one("<p>{{^on}}</p>"), "only int32_t and char[N] have a text"),
    (one('<p class:x="{{^f}}"></p>', "float f"), "only int32_t"),
    (one('<p><b class:on="{{on}}"><i>^{{a}}</i></b></p>'), "is inside of <b> of line 1"),
    (one("<p>" + "<b>{{a}}</b>" * 255 + "<b>^{{a}}</b></p>"), "more than 255 elements with bindings"),
    (one("<p>" + "".join(f"<b>{{{{f{i}}}}}</b>" for i in range(65)) + "</p>",
         "int32_t " + ", ".join(f"f{i}" for i in range(64)) + ", ^f64"), "more than 64 fields change apart"),
    (one("<p>" + "".join(f'<b class:n{i}="{{{{on}}}}"></b>' for i in range(256)) + '<b ^class:more="{{on}}"></b></p>'), "more than 256 names"),
    # Places in HTML.
    (one("<table>^<tr></tr></table>"), "in tbody or thead or tfoot"),
    (one("<table>^<div></div></table>"), "holds only"),
    (one("<table><tbody><tr>^x</tr></tbody></table>"), "holds only td th"),
    (one("<p><span>^<div></div></span></p>"), "HTML closes there"),
    (one("<a><b>^<a></a></b></a>"), "HTML closes there; write the inner one outside"),
    (one("<ul><li>^<li></li></li></ul>"), "HTML closes there"),
    # State and templates.
    ('<template id="^C"></template>', "no name of a component"),
    ('<template id="^int"></template>', "no word of C"),
    ('<template id="^state"></template>', "no word of C or of the header"),
    ('<template id="^dx_page"></template>', "no name of a component"),
    ('<template id="^a;b"></template>', "no name of a component"),
    ("^<template></template>", "no name of a component"),
    ('<template id="c" ^lang="de"><p></p></template>', "<template> has no attribute 'lang'; write id, state or key"),
    (one("<p></p>") + '<template id="^c"><p></p></template>', "a second component 'c'"),
    ("".join(f'<template id="c{i}"><p></p></template>' for i in range(64)) + '^<template id="c64"><p></p></template>', "more than 64 components"),
    (one("<p></p>", "^a"), "declares nothing"),
    (one("<p></p>", "^int a"), "no type 'int'; did you mean 'int8_t'?"),
    (one("<p></p>", "^integer_of_mine a"), "no type"),
    (one("<p></p>", "char ^t"), 'write "char text[20]"'),
    (one("<p></p>", "int32_t a, ^b[2]"), 'write "int32_t count"'),
    (one("<p></p>", "int32_t ^A"), 'write "int32_t count"'),
    (one("<p></p>", "int32_t ^if"), "has a meaning in C"),
    (one("<p></p>", "uint64_t ^dirty"), "for the page"),
    (one("<p></p>", "int32_t a;\n char ^a[3]"), "a second field 'a'"),
    ('<template id="c" key="^kk" state="uint32_t k"><p></p></template>', "did you mean 'k'?"),
    ('<template id="c" key="^k" state="uint8_t k"><p></p></template>', "write uint32_t k"),
    ('<template id="c" key="k" ^key="k" state="uint32_t k"><p></p></template>', "key is there twice"),
    (one('<p on:click="^markup"></p>'), "'c_markup' would be in the header twice"),
    (one('<p on:click="x">{{^x(a)}}</p>'), "'c_x' would be in the header twice"),
    (f'^<template id="c"><p>{"x" * 65536}</p></template>', "more than 65535 bytes of markup"),
    # Lists.
    (rows('<li ^each="r">{{x}}</li>').replace("{{x}}", ""), None),
    (rows('<li each="^q"></li>'), "no rows 'q'"),
    (rows('<li each="^c"></li>'), "no rows 'c'"),
    (rows('<li><br ^each="r"></li>'), "cannot hold rows"),
    (rows('<li each="r">^<b></b></li>'), 'write it as a component of its own, <template id="name" key="field">'),
    (rows('<li each="r"></li><li each="^r"></li>'), "a second list of 'r'"),
    (rows('<li each="r">^text</li>'), "text beside the list that fills <li>"),
    (rows('^<li each="r"><!-- --> </li>'), "holds only rows; write it empty"),
    # The file.
    ("<template id=\"c\">^\x00<p></p></template>", "control character 0x00"),
]


def each_error_has_its_place_and_what_to_write():
    missed = []
    for text, *said in BAD:
        at, clean = text.index("^"), text.replace("^", "")
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        errors = compile_(clean)[1]
        if said == [None]:
            expect(not errors, f"{clean[:90]}: {errors}")
            continue
        if not any(e[:2] == (line, column) and said[0] in e[2] for e in errors):
            missed.append(f"{text[-90:]}: {errors}")
    expect(not missed, "\n".join(missed))
    for clean, said in [(b"<template id=\"c\">\r\n<p>\xc3\xa9\xff</p></template>", (2, 5)), (one("<p></p>") + " " * component.FILE_MAX, (1, 1))]:
        errors = compile_(clean)[1]
        expect(errors and errors[0][:2] == said, f"{clean[:60]}: {errors}")
    expect("rows.html" in compile_(one("<p></p>"), "9-b.html")[1][0][2], "a file's name")
    return f"{len(BAD) + 3} templates"


def each_error_says_what_to_write():
    # All calls of the compiler that make an error: each was made by a template above, and its text has an instruction.
    calls = {node.lineno for node in ast.walk(ast.parse(open(SOURCE).read())) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Attribute) and node.func.attr in ("wrong", "stop")}
    definitions = {n for n, line in enumerate(open(SOURCE), 1) if "self.wrong(at, message)" in line}
    expect(calls - definitions <= hit, f"no template makes the errors of lines {sorted(calls - definitions - hit)}")
    for text, *_ in BAD:
        for _, _, message in compile_(text.replace("^", ""))[1]:
            expect(re.search(r"; (write|leave|did you mean|listen to)|, \w+ it ", message), message)
    return f"{len(calls - definitions)} of them"


def command(text, *arguments):
    with open(f"{WORK}/page.html", "w") as file:
        file.write(text)
    return subprocess.run([SOURCE, *arguments], capture_output=True, text=True, cwd=WORK)


def the_command_prints_errors_and_leaves_the_header_alone():
    good = command(one("<p>{{a}}</p>"), "page.html", "page.h")
    before = open(f"{WORK}/page.h").read()
    bad = command(one("<p>{{zz}}\n</p>\n<b></b>"), "page.html", "page.h")
    expect(good.returncode == 0 and good.stderr == "", good.stderr)
    expect(bad.returncode == 1 and re.match(r"page.html:1:\d+: .*\npage.html:3:1: ", bad.stderr), bad.stderr)
    expect(open(f"{WORK}/page.h").read() == before and not [n for n in os.listdir(WORK) if n.endswith(".tmp")], "the header")
    for arguments, status, said in [(["none.html", "page.h"], 1, "none.html: No such file"), (["page.html"], 2, "usage"),
                                    (["page.html", "none/page.h"], 1, "none/page.h: No such file")]:
        r = command(one("<p></p>"), *arguments)
        expect(r.returncode == status and said in r.stderr and "Traceback" not in r.stderr, r.stderr)


def build(source, *more):
    path = f"{WORK}/{abs(hash(source))}"
    with open(path + ".c", "w") as file:
        file.write(source)
    subprocess.run([*STRICT, f"-I{WORK}", *more, path + ".c", "-o", path], check=True)
    return path


def header(text, name="page.html"):
    compiler, errors = compile_(text, name)
    expect(not errors, errors)
    with open(f"{WORK}/{name[:-5]}.h", "w") as file:
        file.write(compiler.write())
    return compiler


PAGE = r'''
#include <stdio.h>
#include <string.h>
#include "layers/dx_page.h"
#include "page.h"
static uint64_t memory[65536];
static dx_page page;
static int open_page(dx_page_format *format)
{
    dx_page_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.static_size = 1 << 18;
    desc.state_size = 1 << 16;
    desc.queue_size = 1 << 16;
    desc.capabilities = DX_PAGE_DOM_WRITE | DX_PAGE_DOM_READ;
    desc.format = format;
    return dx_page_init(&page, &desc);
}
static inline void show(void)
{
    dx_page_flush f;
    dx_page_frame(&page);
    dx_page_get_flush(&page, &f);
    for (uint32_t i = 0; i < dx_page_pending(&page); i++) {
        dx_page_operation o = dx_page_operation_at(&page, i);
        printf("%d.%d.%d.%u", o.opcode, o.slot, o.name, (unsigned)o.node);
        if (o.opcode == DX_PAGE_OP_TEXT || o.opcode == DX_PAGE_OP_ATTR || o.opcode == DX_PAGE_OP_STYLE)
            printf("=%.*s", (int)o.c, (const char *)f.text + o.b);
        else printf(" %u %u", (unsigned)o.b, (unsigned)o.c);
        puts("");
    }
    puts("--");
    dx_page_flushed(&page);
}
'''


def tables_are_those_written_by_hand():
    # The dashboard's, as they were in C.
    header('''<template id="quote" state="uint32_t number; int32_t price, change, hits; uint8_t up, down, selected">
      <tr>
        <th scope="row"><button class="name" on:click="row">{{name(number)}}</button></th>
        <td>{{price(price)}}</td><td class="change" class:up="{{up}}" class:down="{{down}}">{{change(change, up, down)}}</td>
        <td class="hits">{{hits}}</td>
      </tr>
    </template>''')
    program = build(PAGE + r'''
static uint32_t quote_name(const quote *s, uint8_t *o, uint32_t c) { (void)s, (void)o, (void)c; return 0; }
static uint32_t quote_price(const quote *s, uint8_t *o, uint32_t c) { (void)s, (void)o, (void)c; return 0; }
static uint32_t quote_change(const quote *s, uint8_t *o, uint32_t c) { (void)s, (void)o, (void)c; return 0; }
static void quote_row(void *user, dx_page *p, uint32_t node, const void *data, size_t size) { (void)user, (void)p, (void)node, (void)data, (void)size; }
static const dx_page_binding by_hand[] = {
    {0, DX_PAGE_TEXT, DX_PAGE_FORMAT, 0, 1, 0, 0, 0},
    {1, DX_PAGE_TEXT, DX_PAGE_FORMAT, 0, 2, 0, 1, 0},
    {2, DX_PAGE_CLASS, DX_PAGE_BYTES, 0, 3, 0, offsetof(quote, up), 1},
    {2, DX_PAGE_CLASS, DX_PAGE_BYTES, 0, 3, 1, offsetof(quote, down), 1},
    {2, DX_PAGE_TEXT, DX_PAGE_FORMAT, 0, 3, 0, 2, 0},
    {3, DX_PAGE_TEXT, DX_PAGE_INTEGER, 0, 4, 0, offsetof(quote, hits), 4},
};
static const char markup[] =
    "<tr><th scope=\"row\"><button class=\"name\" data-on=\"click:1\" data-slot=\"\"></button></th><td data-slot=\"\"></td>"
    "<td class=\"change\" data-slot=\"\"></td><td class=\"hits\" data-slot=\"\"></td></tr>";
int main(void)
{
    if (sizeof by_hand != sizeof quote_bindings || memcmp(by_hand, quote_bindings, sizeof by_hand)) return 1;
    if (strcmp(markup, quote_markup)) return 2;
    if (open_page(page_format) || page_add_to(&page, NULL)) return 3;
    return strcmp(page_names[0], "up") || strcmp(page_names[1], "down") || PAGE_HANDLERS != 2;
}
''')
    status = subprocess.run([program]).returncode
    expect(status == 0, f"status {status}")


def a_page_of_templates_runs():
    # Two components, every kind of binding, rows in a slot with their keys, handlers; the operations in order.
    header('''<template id="board" state="int32_t count; char title[16]; uint8_t full">
      <section class:full="{{full}}" title="{{title}}">
        <h2>{{count}}</h2> <b style:width="{{share(count)}}"></b>
        <a href="/rows/{{path(count)}}">&lt;all&gt;</a>
        <ul each="line"></ul>
        <button on:click="add">more</button>
      </section>
    </template>
    <template id="line" key="number" state="uint32_t number; int32_t weight">
      <li class:heavy="{{heavy(weight)}}"><i on:click="drop">{{text(number, weight)}}</i></li>
    </template>''')
    program = build(PAGE + r'''
static uint32_t board_share(const board *s, uint8_t *o, uint32_t c) { return (uint32_t)snprintf((char *)o, c, "%d%%", (int)s->count); }
static uint32_t board_path(const board *s, uint8_t *o, uint32_t c) { return (uint32_t)snprintf((char *)o, c, "%d", (int)s->count); }
static bool line_heavy(const line *s) { return s->weight > 9; }
static uint32_t line_text(const line *s, uint8_t *o, uint32_t c) { return (uint32_t)snprintf((char *)o, c, "%u:%d", (unsigned)s->number, (int)s->weight); }
static void line_fill(void *user, line *row) { row->weight = (int32_t)row->number * *(int *)user; }
static void board_add(void *user, dx_page *p, uint32_t node, const void *data, size_t size)
{
    board *b = (board *)dx_page_state(p, node);
    (void)user, (void)data, (void)size;
    b->count++;
    dx_page_mark(p, node, BOARD_BIT_COUNT);
}
static void line_drop(void *user, dx_page *p, uint32_t node, const void *data, size_t size)
{
    line *row = (line *)dx_page_state(p, node);
    (void)data, (void)size;
    row->weight = *(int *)user;
    dx_page_mark(p, node, LINE_BIT_WEIGHT);
}
int main(void)
{
    int user = 4;
    uint32_t node, keys[8], nodes[8], wanted[] = {1, 2, 3}, other[] = {3, 1};
    dx_page_list list;
    int error = open_page(page_format);
    if (!error) error = page_add_to(&page, &user);
    dx_page_seal(&page);
    if (!error) error = dx_page_mount(&page, BOARD_ID, 0, 0, 0, NULL, NULL, &node);
    line_list(&list, node, BOARD_SLOT_LINE, keys, nodes, 8, &user);
    if (!error) error = dx_page_list_update(&page, &list, wanted, 3);
    if (error) return printf("%s\n", dx_page_error_name(error));
    show();
    error = dx_page_event(&page, BOARD_ON_ADD, node & 0x3fffff, NULL, 0);
    if (!error) error = dx_page_event(&page, LINE_ON_DROP, nodes[2] & 0x3fffff, NULL, 0);
    if (error) return printf("%s\n", dx_page_error_name(error));
    show();
    if (dx_page_list_update(&page, &list, other, 2)) return puts("list");
    show();
    wanted[0] = 2;
    wanted[2] = 1;
    printf("%s\n", dx_page_error_name(dx_page_list_update(&page, &list, wanted, 3)));
    return 0;
}
''')
    said = subprocess.run([program], capture_output=True, text=True).stdout.replace(" 0\n", "\n")
    want = '''1.0.1.0 1 1
2.1.0.1=0
6.2.2.1=0%
3.3.3.1=/rows/0
3.0.1.1=
1.4.2.1 2 3
2.1.0.2=1:4
2.1.0.3=2:8
5.0.4.4 1
2.1.0.4=3:12
--
2.1.0.1=1
6.2.2.1=1%
3.3.3.1=/rows/1
5.0.4.4 0
2.1.0.4=3:4
--
4.0.0.3 0
10.0.0.3 1
7.4.0.1 4 2
--
DX_PAGE_EDUPLICATE
'''
    expect(said == want, said)


def the_example_in_the_readme_is_true():
    readme = open(f"{TOP}/examples/www/README.md").read()
    template, made = re.search(r"```html\n(.*?)```.*?```c\n(.*?)```", readme, re.S).groups()
    written = header(template).write()
    expect(made.strip() in written, "the tables are others")
    said = re.search(r"```text\n(.*?)```", readme, re.S)[1]
    bad = '<template id="counter" state="int32_t count">\n  <p onclick="add()"><b>{{cuont}}</b> {{count}} times</p>\n</template>\n'
    expect(command(bad, "page.html", "page.h").stderr == said, "the errors are others")


CHECKER = r'''
#include <stdio.h>
#include <stdlib.h>
#include "layers/dx_htip.h"
int main(void)
{
    uint32_t size;
    while (fread(&size, 4, 1, stdin) == 1) {
        uint8_t *text = (uint8_t *)malloc(size + 1);
        dx_htip_text markup = {text, size};
        if (!text || fread(text, 1, size, stdin) != size) return 1;
        printf("%d\n", dx_htip_is_utf8(text, size) ? dx_htip_read_markup(markup, NULL, NULL) : -1);
        free(text);
    }
    return 0;
}
'''


def accepted(compilers):
    """What the compiler takes is a template for dx_htip.h, with as many slots."""
    texts = [(c.text.encode(), len(c.slot_of) - 1) for compiler in compilers for c in compiler.components]
    stdin = b"".join(len(t).to_bytes(4, sys.byteorder) + t for t, _ in texts)
    said = subprocess.run([build(CHECKER)], input=stdin, capture_output=True).stdout.split()
    expect([int(s) for s in said] == [slots for _, slots in texts],
           next((t for (t, slots), s in zip(texts, said) if slots != int(s)), f"{len(said)} of {len(texts)}"))
    return len(texts)


def names_of_components_are_free_in_c():
    # Whatever the headers below say that looks like a name: as a component with a field of that name, it is refused or compiles.
    headers = ("assert complex ctype errno fenv inttypes limits locale math setjmp signal stdarg stdio stdlib string time wchar wctype "
               "fcntl unistd sys/socket sys/stat poll").split()
    includes = "".join(f"#include <{h}.h>\n" for h in headers)
    compiler = os.environ.get("CC", "cc").split() + ["-xc", "-"]
    said = "".join(subprocess.run([*compiler, "-std=c11", "-D_POSIX_C_SOURCE=200809L", *more], input=includes, capture_output=True, text=True, check=True).stdout
                   for more in (["-E", "-P"], ["-E", "-dM"]))
    names = sorted(set(re.findall(r"\b[a-z][a-z0-9_]{0,40}\b", said)) | {"unix", "linux", "i386", "main"})
    ids = [n for n in names if not compile_(f'<template id="{n}"><p></p></template>')[1]]
    fields = [n for n in names if not compile_(one("<p></p>", f"int32_t {n}"))[1]]
    source = includes + "".join(f"typedef struct {n} {{ int a_; }} {n};\n" for n in ids) + "".join(f"struct field_of_{n} {{ int {n}; }};\n" for n in fields)
    for dialect in (["-std=c11", "-D_POSIX_C_SOURCE=200809L"], ["-std=gnu11", "-D_POSIX_C_SOURCE=200809L"]):
        r = subprocess.run([*compiler, *dialect, "-fsyntax-only"], input=source + "int main(void) { return 0; }\n", capture_output=True, text=True)
        expect(r.returncode == 0, [line for line in r.stderr.split("\n") if "error" in line][:3])
    expect(len(names) > 500 and len(fields) > len(ids) > 50, f"{len(names)} names, {len(ids)} components, {len(fields)} fields")
    return f"{len(ids)} of {len(names)} as components, {len(fields)} as fields"


# Every element that HTML has or had, and what browsers tried; attributes; values.
TAGS = """a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote body br button canvas caption center cite code
col colgroup command content data datalist dd del details dfn dialog dir div dl dt element em embed fencedframe fieldset figcaption figure font footer form frame
frameset geolocation h1 h2 h3 h4 h5 h6 h7 head header hgroup hr html i iframe image img input ins isindex kbd keygen label legend li link listing main map mark
marquee math menu menuitem meta meter model multicol nav nextid nobr noembed noframes noscript object ol optgroup option output p param permission picture plaintext
portal pre progress q rb rbc rp rt rtc ruby s samp script search section select selectedcontent selectlist shadow slot small source spacer span strike strong style
sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr webview xml xmp annotation-xml x-card font-face""".split()
NAMES = """accept action alt background cite class content data data-x dir download enterkeyhint for form formaction href http-equiv id is lang manifest name on ona
onabort onclick onfocus onx on-x online ping poster rel role s sandbox sizes slot src srcdoc srcdoc2 srcset style style2 target title type usemap value width
1a -a a- a1 a--b xlink""".split()
VALUES = ["", "x", "/a", "javascript:x", "JavaScript:x", " javascript:x", "java\tscript:x", "java\nscript:x", "javascript&amp;:x", "javascript :x", "xjavascript:x",
          "javascript", "javascript&#58;x", "vbscript:x", "data:x", "\u00a0javascript:x", "\u017fjavascript:x", "j\u0430vascript:x"]


def read_markups(texts):
    """What dx_htip.h says of each: its slots, or an error below zero."""
    stdin = b"".join(len(t).to_bytes(4, sys.byteorder) + t for t in (text.encode() for text in texts))
    said = [int(s) for s in subprocess.run([build(CHECKER)], input=stdin, capture_output=True).stdout.split()]
    expect(len(said) == len(texts), f"{len(said)} of {len(texts)}")
    return said


def compiler_and_reader_allow_the_same_elements():
    listed = re.search(r"The elements are `([^`]*)`", open(f"{TOP}/docs/formats/htip.md").read())[1].split()
    mixed = ["".join(dice.choices("abdefimrst1-", k=dice.randint(1, 6))) for _ in range(300)]
    tags = sorted({t for t in TAGS + mixed + [t[:-1] for t in TAGS] + [t + "s" for t in TAGS] + listed if re.fullmatch("[a-z][a-z0-9-]*", t)})
    texts = [f"<div><{t}></div>" if t in component.VOID else f"<div><{t}></{t}></div>" for t in tags]
    reader = {t for t, slots in zip(tags, read_markups(texts)) if slots >= 0}
    compiler = {t for t, text in zip(tags, texts) if "is refused" not in str(compile_(one(text))[1])}
    expect(reader == set(listed), f"the reader and docs/formats/htip.md differ in {sorted(reader ^ set(listed))}")
    expect(compiler == reader, f"they differ in {sorted(compiler ^ reader)}")
    return f"{len(reader)} of {len(tags)}"


def compiler_and_reader_allow_the_same_attributes():
    names = sorted({*NAMES, *("".join(dice.choices("on-styleclick1", k=dice.randint(1, 6))) for _ in range(200))})
    pairs = [(n, "x") for n in names] + [(n, v) for n in ("href", "src", "title", "formaction") for v in VALUES]
    bodies = [f'<p {name}="{value}"></p>' for name, value in pairs]
    took, wrong = 0, []
    for body, slots in zip(bodies, read_markups(bodies)):
        compiler, errors = compile_(one(body))
        if not errors: # entities that HTML has and HTIP has not are written as characters
            slots = read_markups([compiler.components[0].text])[0] if "&#" in body else slots
            took += 1
        if bool(errors) != (slots < 0) and "&#" not in body or not errors and slots < 0:
            wrong.append(body)
    expect(not wrong, f"they differ in {wrong}")
    expect(took > 30, f"only {took} are allowed")
    return f"{took} of {len(bodies)}"


def random_element(depth=0):
    tag = dice.choice("p b i div span ul li a button h2 table tbody tr td em section label input br select option".split())
    inside = "".join(dice.choice([lambda: "{{a}}", lambda: "{{f(a, b)}}", lambda: "text &amp; more", lambda: " ", lambda: "\n ", lambda: "é€😀\xa0",
                                  lambda: random_element(depth + 1), lambda: random_element(depth + 1)])() for _ in range(dice.choice([0, 1, 1, 2, 3]) if depth < 6 else 0))
    more = "".join(dice.choice([' class="x"', ' class:on="{{on}}"', ' on:click="go"', ' title="{{t}}"', ' href="/a/{{f(b)}}"', ' style:color="{{t}}"', ' lang="d&quot;e"', ""])
                   for _ in range(dice.choice([0, 0, 1, 2])))
    return f"<{tag}{more}>" if tag in component.VOID else f"<{tag}{more}>{inside}</{tag}>"


def random_templates_are_refused_or_good():
    good, bad = [], 0
    for _ in range(500 * RUNS):
        compiler, errors = compile_(one(random_element()))
        bad += bool(errors)
        if not errors:
            good.append(compiler)
    expect(len(good) > 80 and bad > 80, f"{len(good)} good, {bad} bad")
    return f"{accepted(good)} good, {bad} refused"


PIECES = ["<", ">", "</", "/>", '"', "'", "&", ";", "{{", "}}", "<!--", "-->", "<!", "<?", "]]>", "=", " ", "\n", "\x00", "\t", "\u2028", "<p>", "</p>", "&#", "&#xD800;",
          "<script>", "<style>", "</template>", "<template id=\"d\">", "class:", "on:", "*/", "\\", "??/", "/*", "é"]


def mutated_templates_end_with_a_result():
    seeds = [open(f"{TOP}/examples/www/feed_rows.html").read(), rows('<li each="r"></li>') + one("<p title=\"x{{f(a)}}\"><b>{{a}}</b></p>").replace('"c"', '"d"')]
    good, longest = [], 0
    for _ in range(600 * RUNS):
        text = dice.choice(seeds)
        for _ in range(dice.randint(1, 4)):
            i, k = dice.randrange(len(text)), dice.randint(0, 3)
            text = text[:i] + dice.choice(PIECES + [""]) + text[i + k:]
        begin = time.process_time()
        compiler, errors = compile_(text)
        longest = max(longest, time.process_time() - begin)
        if not errors:
            good.append(compiler)
    expect(longest < 5, f"{longest} s for one")
    return f"{accepted(good)} components good"


def hostile_files_end_soon():
    size, slow = component.FILE_MAX - 200, (0, "")
    begin = time.process_time()
    for piece in ["<p>", "<!--", "<!", "<?", "<a ", "{{", "&", "</", "<p title=\"", "<p title='", "<![CDATA[", "&#", "<script>", "}}", "a", " ", "<p a=", "=\"\" ", "<template id=\"c\">"]:
        bare = piece * (size // len(piece))
        inside = one("<p>" + bare + "</p>")
        for text in (bare, one(bare), inside) if RUNS > 1 else (inside if piece in ("{{", " ") else dice.choice((bare, one(bare), inside)),):
            before = time.process_time()
            expect(compile_(text)[1], f"{piece} many times is accepted")
            slow = max(slow, (time.process_time() - before, piece))
    many = one("<p>" + "<b></b>" * 9000 + "</p>")
    expect(not compile_(many)[1], "many elements")
    many = one("<p>" + "<b>{{a}}</b>" * 20000 + "</p>")
    expect("255" in str(compile_(many)[1]), "many slots")
    took = time.process_time() - begin
    expect(took < 60 and slow[0] < 8, f"{took} s, of which {slow}")
    return f"the slowest: {slow[1]}, {slow[0]:.1f} s"


def names_stay_names():
    # Whatever is in names and texts is in the strings of the header, and nowhere else.
    evil = '*/ int main(void) { return 7; } /* \\ ?\u200b?/ " \u00e9\U0001f600 %s 1'
    text = component.html.escape(evil, quote=True)
    word = "??(*#1\\\u00e9%s"
    header(one(f'<p class:{word}="{{{{on}}}}" title="{text}">{text}</p>'))
    compiler = compile_(one(f'<p class:{word}="{{{{on}}}}" title="{text}">{text}</p>'))[0]
    said = subprocess.run([build(PAGE + "int main(void) { printf(\"%s\\n%s\", page_names[0], c_markup); return open_page(NULL) || page_add_to(&page, NULL); }", "-trigraphs")],
                          capture_output=True)
    expect(said.returncode == 0 and said.stdout.decode() == f"{word}\n{compiler.components[0].text}", said)
    for name in ["a;b", "a b", "a\"b", "1a", "__init", "a/**/", "A", "é", "int", "a" * 64]:
        for text in (one("<p></p>", f"int32_t {name}"), one(f'<p on:click="{component.html.escape(name)}"></p>'),
                     one(f"<p>{{{{{component.html.escape(name)}(a)}}}}</p>"), f'<template id="{component.html.escape(name)}"><p></p></template>'):
            if name != "int" or "on:click" not in text and "(a)" not in text: # c_int() is a name
                expect(compile_(text)[1], text)


def print_markups(count):
    """Markup that the compiler made of random templates, with tag and depth of each element: a browser must build the same."""
    found, parts = [], []
    while len(found) < count:
        body = random_element() if len(parts) < 100 or dice.random() < 0.3 else f"<div>{''.join(dice.choices(parts, k=3))}</div>"
        compiler, errors = compile_(one(body))
        if errors:
            continue
        parts.append(body)
        depths = {None: -1}
        for element in compiler.components[0].slots:
            depths[element] = depths[element.parent] + 1
        found.append([compiler.components[0].text, [[e.tag, depths[e]] for e in compiler.components[0].slots]])
    print(json.dumps(found))


if sys.argv[1:2] == ["--markups"]:
    print_markups(int(sys.argv[2]))
    subprocess.run(["rm", "-rf", WORK])
    sys.exit(0)
for test in (tables_are_those_written_by_hand, a_page_of_templates_runs, the_example_in_the_readme_is_true, each_error_has_its_place_and_what_to_write, each_error_says_what_to_write,
             the_command_prints_errors_and_leaves_the_header_alone, random_templates_are_refused_or_good, mutated_templates_end_with_a_result,
             hostile_files_end_soon, names_stay_names, names_of_components_are_free_in_c, compiler_and_reader_allow_the_same_elements, compiler_and_reader_allow_the_same_attributes):
    if not sys.argv[1:] or any(test.__name__.startswith(a) for a in sys.argv[1:]):
        case(test)
subprocess.run(["rm", "-rf", WORK])
print(f"component: {counts[0]} passed, {counts[1]} failed, 0 skipped")
sys.exit(counts[1] > 0)
