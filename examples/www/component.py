#!/usr/bin/env python3
"""Compile the components of a page to the tables of layers/dx_page.h.

    usage: component.py PAGE.html OUT.h

PAGE.html holds templates. Each has an id, the fields of its state, and one element with bindings:

    <template id="counter" state="int32_t count; uint8_t full">
      <p class:full="{{full}}"><b>{{count}}</b> <button on:click="add">more</button></p>
    </template>

    {{count}}                  a field as text: int32_t or char[N]; also as title="{{count}}"
    {{price(cents)}}           C writes it: counter_price(); renewed when cents is marked
    class:full="{{full}}"      the class is on while full is not 0, or counter_full() is true
    style:width="{{share}}"    a property
    href="/q/{{path(n)}}"      an address has a literal beginning, which fixes its scheme
    on:click="add"             counter_add() is the handler
    <ul each="row"></ul>       rows of <template id="row" key="number" ...>, whose key is a field

OUT.h has the state as a struct, a bit of the dirty mask for each field, markup, bindings and handlers,
and PAGE_add_to(), which registers all of them. Fields that one function reads share a bit. An error is
FILE:LINE:COLUMN: and what to write instead; then OUT.h is left as it was, and the exit status is 1.
"""
import difflib
import html
import os
import re
import sys
from html.entities import html5
from html.parser import HTMLParser

# Of docs/formats/htip.md and layers/dx_page.h.
DEPTH_MAX, SLOTS_MAX, NAME_MAX, MARKUP_MAX, BITS, HANDLERS_MAX, NAMES_MAX, COMPONENTS_MAX = 32, 255, 256, 65535, 64, 64, 256, 64
FILE_MAX, ERRORS_MAX = 1 << 18, 20
VOID = set("area br col hr img input source track wbr".split())
ELEMENTS = set("a abbr acronym address area article aside audio b bdi bdo big blockquote br button canvas caption center cite code col "
               "colgroup data datalist dd del details dfn dialog dir div dl dt em fieldset figcaption figure font footer form h1 h2 h3 h4 h5 "
               "h6 header hgroup hr i img input ins kbd label legend li main map mark menu meter nav nobr ol optgroup option output p picture "
               "progress q rb rp rt rtc ruby s samp search section select slot small source span strike strong sub summary sup table tbody td "
               "tfoot th thead time tr track tt u ul var video wbr".split())
# HTML's parser rebuilds markup that breaks these rules, and slots would be elsewhere than in C.
INSIDE = {"tr": "tbody thead tfoot", "td": "tr", "th": "tr", "col": "colgroup", "option": "select optgroup datalist",
          **dict.fromkeys("tbody thead tfoot caption colgroup".split(), "table"), "optgroup": "select",
          **dict.fromkeys("rb rt rtc rp".split(), "ruby")}
ONLY = {"table": "caption colgroup thead tbody tfoot", "tbody": "tr", "thead": "tr", "tfoot": "tr", "tr": "td th", "colgroup": "col",
        "select": "option optgroup", "optgroup": "option", "option": ""}
BLOCKS = set("address article aside blockquote center details dialog dir div dl dd dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 "
             "header hgroup hr li main menu nav ol p search section summary table ul".split())
CELLS = {"td", "th", "caption"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
URLS = set("href src action formaction poster cite ping background data manifest srcset longdesc usemap".split())
BOOLEANS = set("allowfullscreen async autofocus autoplay checked controls default defer disabled formnovalidate hidden inert ismap itemscope loop "
               "multiple muted nomodule novalidate open playsinline readonly required reversed selected".split())
STAYS = {"focus": "focusin", "blur": "focusout", "mouseenter": "mouseover", "mouseleave": "mouseout", "load": None, "error": None, "scroll": None}
TYPES = ["bool", "float", "double"] + [f"{sign}int{bits}_t" for bits in (8, 16, 32, 64) for sign in ("", "u")]
KEYWORDS = set("alignas alignof and asm auto bool break case catch char class const constexpr continue decltype default delete do double else enum "
               "explicit export extern false float for friend goto if inline int long mutable namespace new noexcept not null nullptr operator or "
               "private protected public register requires restrict return short signed sizeof static struct switch template this thread_local "
               "throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor dirty".split())
TAKEN = KEYWORDS | set("at capacity component error key out page state user which".split()) # what the header's functions call theirs
# What the C library and POSIX declare, and macros of compilers. With f or l at their end they are those of other types.
LIBRARY = set("abort abs accept access acos acosh alarm aligned_alloc asctime asctime_r asin asinh at_quick_exit atan atan2 atanh atexit atof atoi "
              "atol bind bsearch btowc cabs cacos cacosh calloc carg casin casinh catan catanh cbrt ccos ccosh ceil cexp chdir chmod chown cimag "
              "clearerr clock clock_getcpuclockid clock_getres clock_gettime clock_nanosleep clock_settime clog close cmsghdr complex confstr conj "
              "connect copysign cos cosh cpow cproj creal creat csin csinh csqrt ctan ctanh ctermid ctime ctime_r difftime div dprintf dup dup2 "
              "duplocale erf erfc errno execl execle execlp execv execve execvp exit exp exp2 expm1 fabs faccessat fchdir fchmod fchmodat fchown "
              "fchownat fclose fcntl fdatasync fdim fdopen feclearexcept fegetenv fegetexceptflag fegetround feholdexcept feof feraiseexcept ferror "
              "fesetenv fesetexceptflag fesetround fetestexcept feupdateenv fexecve fflush fgetc fgetpos fgets fgetwc fgetws fileno flock flockfile "
              "floor fma fmax fmemopen fmin fmod fopen fork fpathconf fprintf fputc fputs fputwc fputws fread free freelocale freopen frexp fscanf "
              "fseek fseeko fsetpos fstat fstatat fsync ftell ftello ftruncate ftrylockfile funlockfile futimens fwide fwprintf fwrite fwscanf getc "
              "getc_unlocked getchar getchar_unlocked getcwd getdelim getegid getenv geteuid getgid getgroups gethostname getline getlogin "
              "getlogin_r getopt getpeername getpgid getpgrp getpid getppid getsid getsockname getsockopt getsubopt getuid getwc getwchar gmtime "
              "gmtime_r hypot i386 ilogb imaxabs imaxdiv iovec isalnum isalnum_l isalpha isalpha_l isatty isblank isblank_l iscntrl iscntrl_l "
              "isdigit isdigit_l isgraph isgraph_l islower islower_l isprint isprint_l ispunct ispunct_l isspace isspace_l isupper isupper_l "
              "iswalnum iswalnum_l iswalpha iswalpha_l iswblank iswblank_l iswcntrl iswcntrl_l iswctype iswctype_l iswdigit iswdigit_l iswgraph "
              "iswgraph_l iswlower iswlower_l iswprint iswprint_l iswpunct iswpunct_l iswspace iswspace_l iswupper iswupper_l iswxdigit iswxdigit_l "
              "isxdigit isxdigit_l itimerspec jmp_buf kill labs lchown lconv ldexp ldiv lgamma linger link linkat linux listen llabs lldiv llrint "
              "llround localeconv localtime localtime_r log log10 log1p log2 logb longjmp lrint lround lseek lstat main malloc math_errhandling "
              "mblen mbrlen mbrtowc mbsinit mbsnrtowcs mbsrtowcs mbstowcs mbtowc memchr memcmp memcpy memmove memset mkdir mkdirat mkdtemp mkfifo "
              "mkfifoat mkstemp mktime modf msghdr nan nanosleep nearbyint newlocale nextafter nexttoward open open_memstream open_wmemstream openat "
              "optarg opterr optind optopt pathconf pause pclose perror pipe poll pollfd popen posix_fadvise posix_fallocate posix_memalign pow "
              "pread printf psiginfo psignal pthread_kill pthread_sigmask putc putc_unlocked putchar putchar_unlocked puts putwc putwchar pwrite "
              "qsort quick_exit raise rand rand_r read readlink readlinkat realloc recv recvfrom recvmsg remainder remove remquo rename renameat "
              "rewind rint rmdir round sa_handler scalbln scalbn scanf send sendmsg sendto setbuf setegid setenv seteuid setgid setjmp setlocale "
              "setpgid setsid setsockopt setuid setvbuf shutdown sigaction sigaddset sigdelset sigemptyset sigevent sigfillset sigismember "
              "sigjmp_buf siglongjmp signal sigpending sigprocmask sigqueue sigsuspend sigtimedwait sigval sigwait sigwaitinfo sin sinh sleep "
              "snprintf sockaddr sockaddr_storage sockatmark socket socketpair sprintf sqrt srand sscanf stat static_assert stderr stdin stdout "
              "stpcpy stpncpy strcat strchr strcmp strcoll strcoll_l strcpy strcspn strdup strerror strerror_l strerror_r strftime strftime_l strlen "
              "strncat strncmp strncpy strndup strnlen strpbrk strrchr strsignal strspn strstr strtod strtof strtoimax strtok strtok_r strtol "
              "strtold strtoul strtoumax strxfrm strxfrm_l swprintf swscanf symlink symlinkat sysconf system tan tanh tcgetpgrp tcsetpgrp tgamma "
              "time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timespec timespec_get tm tmpfile tmpnam tolower tolower_l "
              "toupper toupper_l towctrans towctrans_l towlower towlower_l towupper towupper_l trunc truncate ttyname ttyname_r tzname tzset umask "
              "ungetc ungetwc unix unlink unlinkat unsetenv uselocale utimensat va_list vdprintf vfprintf vfscanf vfwprintf vfwscanf vprintf vscanf "
              "vsnprintf vsprintf vsscanf vswprintf vswscanf vwprintf vwscanf wcpcpy wcpncpy wcrtomb wcscasecmp wcscasecmp_l wcscat wcschr wcscmp "
              "wcscoll wcscoll_l wcscpy wcscspn wcsdup wcsftime wcslen wcsncasecmp wcsncasecmp_l wcsncat wcsncmp wcsncpy wcsnlen wcsnrtombs wcspbrk "
              "wcsrchr wcsrtombs wcsspn wcsstr wcstod wcstof wcstoimax wcstok wcstol wcstold wcstombs wcstoul wcstoumax wcsxfrm wcsxfrm_l wctob "
              "wctomb wctrans wctrans_l wctype wctype_l wmemchr wmemcmp wmemcpy wmemmove wmemset wprintf write wscanf".split())
MACROS = re.compile(r"unix|linux|i386|errno|h_errno|math_errhandling|static_assert|stdin|stdout|stderr|sa_(handler|sigaction)|st_[acm]time|s6_addr\d*|"
                    r"sigev_notify_\w+|si_(addr|addr_lsb|arch|band|call_addr|fd|int|lower|overrun|pid|pkey|ptr|status|stime|syscall|timerid|uid|upper|utime|value)")
SPACE = " \t\n"
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
ATTRIBUTE = re.compile(r"""\s+([^\s=>"'/]+)(?:(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'<>`=]+))?""", re.A)
BINDING = re.compile(r"\{\{(.*?)\}\}", re.S)
VALUE = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(([\w\s,]*)\))?\s*", re.A)
BLANKS = re.compile(r"[ \t\n]+")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Wrong(Exception):
    """The template cannot be read further."""


class Element:
    def __init__(self, tag, at, parent):
        self.tag, self.at, self.parent = tag, at, parent
        self.slot = None    # where the first binding is
        self.bound = False  # its text is a binding, or its rows are a list
        self.filled = False # it has text or elements
        self.start = None   # the index of its start tag in the markup


class Component:
    def __init__(self, name, at):
        self.name, self.at = name, at
        self.fields, self.types, self.sizes = {}, {}, {} # name -> offset in the file, type, size of an array
        self.key, self.root = None, None
        self.markup, self.slots, self.bindings, self.uses, self.lists = [], [], [], [], []
        self.functions, self.handlers = {}, {}


def is_taken(name):
    """Would a declaration of this name at file scope disagree with one of the C library?"""
    return name in LIBRARY or name[-1:] in "fl" and name[:-1] in LIBRARY or bool(MACROS.fullmatch(name))


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def script(value):
    return re.sub(r"[\x00-\x20]", "", value).lower().startswith("javascript:")


class Compiler(HTMLParser):
    CDATA_CONTENT_ELEMENTS = RCDATA_CONTENT_ELEMENTS = ()

    def __init__(self, path):
        super().__init__(convert_charrefs=False)
        self.path, self.stem = path, os.path.splitext(os.path.basename(path))[0]
        self.errors, self.components, self.component = [], [], None
        self.stack, self.text_at = [], None
        self.names, self.handlers, self.symbols = [], {}, {}

    # >>errors
    def wrong(self, at, message):
        line = self.source.count("\n", 0, at) + 1
        column = at - (self.source.rfind("\n", 0, at) + 1) + 1
        self.errors.append((line, column, message))
        if len(self.errors) == ERRORS_MAX:
            raise Wrong

    def stop(self, at, message):
        self.wrong(at, message)
        raise Wrong

    def known(self, name, among, at, what, instead):
        """Is the name one of these? Otherwise an error with the closest, or with `instead`."""
        if name in among:
            return True
        near = difflib.get_close_matches(name, among, 1)
        self.wrong(at, f"{what} '{name}'; " + (f"did you mean '{near[0]}'?" if near else instead))
        return False

    def symbol(self, name, at):
        """A name of the header: each may be there only once."""
        if is_taken(name):
            self.wrong(at, f"'{name}' is a name of the C library; write another name here")
        elif self.symbols.setdefault(name, at) != at:
            self.wrong(at, f"'{name}' would be in the header twice; write another name here")

    # >>reading
    def translate(self):
        """Read the file, and note its errors; without one, write() has the header."""
        for made in ("names", "format", "put", "add_to"):
            self.symbols[f"{self.stem}_{made}"] = -1
        try:
            self.read()
            self.check_lists()
        except Wrong:
            return
        if not self.errors:
            self.number_functions()

    def read(self):
        with open(self.path, "rb") as file:
            raw = file.read(FILE_MAX + 1)
        self.source = raw.decode("utf-8", "replace").replace("\r\n", "\n").lstrip("\ufeff")
        if not NAME.fullmatch(self.stem) or self.stem in KEYWORDS:
            self.stop(0, f"the file's name '{self.stem}' begins the names in C; write small letters, digits and '_', for example rows.html")
        if len(raw) > FILE_MAX:
            self.stop(0, f"the file has more than {FILE_MAX} bytes; write several pages")
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.stop(len(raw[:error.start].decode("utf-8").replace("\r\n", "\n").lstrip("\ufeff")), "a byte that is not UTF-8; write the file as UTF-8")
        control = CONTROL.search(self.source)
        if control:
            self.stop(control.start(), f"control character {ord(control.group()):#04x}; write a space or a line break")
        self.starts = [0] + [m.end() for m in re.finditer("\n", self.source)]
        self.feed(self.source)
        if self.rawdata.strip(SPACE):
            at = len(self.source) - len(self.rawdata.lstrip(SPACE))
            if "<" in self.rawdata:
                self.stop(at, "a tag or comment that does not end; write the '>' or '-->'")
            self.text_at = at if self.text_at is None else self.text_at
        self.flush_text(len(self.source))
        if self.stack or self.component:
            open_ = self.stack[-1] if self.stack else None
            tag, at = (open_.tag, open_.at) if open_ else ("template", self.component.at)
            self.stop(at, f"<{tag}> is not closed; write </{tag}>")
        if not self.components:
            self.stop(0, 'no component; write <template id="name" state="int32_t count">...</template>')

    def place(self):
        line, column = self.getpos()
        return self.starts[line - 1] + column

    def handle_data(self, data):
        if self.text_at is None:
            self.text_at = self.place()

    handle_entityref = handle_charref = handle_data

    def handle_comment(self, data):
        at = self.place()
        self.flush_text(at)
        if not self.source.startswith("<!--", at):
            self.stop(at, "this is neither a tag nor a comment; write &lt; for a '<' in text")

    def handle_decl(self, data):
        self.stop(self.place(), "no declaration is needed; leave it out")

    unknown_decl = handle_pi = handle_decl

    def decode(self, raw, at):
        """Text without its entities."""
        for m in re.finditer(r"[&<]", raw):
            reference = re.match(r"&(#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|\w{1,40};)", raw[m.start():m.start() + 42], re.A)
            if not reference or reference[1][0] != "#" and reference[1] not in html5:
                self.wrong(at + m.start(), f"'{m.group()}' in text; write {'&lt;' if m.group() == '<' else '&amp;'}")
            elif html.unescape(reference[0]) in ("", "\ufffd") or CONTROL.search(html.unescape(reference[0])):
                self.wrong(at + m.start(), f"{reference[0]} is a character that HTML does not have; leave it out")
        return html.unescape(raw)

    # >>text
    def flush_text(self, end):
        at, self.text_at = self.text_at, None
        if at is None:
            return
        raw = self.source[at:end]
        text = raw.strip(SPACE)
        if not text:
            if self.stack and "\n" not in raw:
                self.put_text(raw, at)
            return
        begin = at + raw.index(text)
        if not self.stack:
            self.stop(begin, "text outside of a component's element; write it inside" if self.component else
                      'text outside of a component; write <!-- it --> or <template id="name">')
        if "{{" not in text and "}}" not in text:
            self.put_text(raw, at)
            return
        element, at = self.stack[-1], begin
        m = BINDING.fullmatch(text)
        if not m or "{{" in m[1] or "}}" in m[1]:
            inner = next((m for m in BINDING.finditer(text, 0, text.rfind("}}") + 2) if "{{" not in m[1]), None)
            if not inner:
                self.stop(at + max(text.find("{{"), text.find("}}") if "{{" not in text else 0), "'{{' and '}}' do not match; write {{field}}, or &#123; for a brace in text")
            self.wrong(at + inner.start(), f"{inner[0]} shares its element with other text; write <span>{inner[0]}</span>")
            return
        if element.filled or element.bound:
            self.wrong(at, f"{text} shares <{element.tag}> with other content; write <span>{text}</span>")
            return
        element.bound = "binding"
        self.bind(element, at, "TEXT", None, m[1], at + 2)

    def put_text(self, raw, at):
        element = self.stack[-1]
        text = raw.strip(SPACE)
        if text:
            at_text = at + raw.index(text)
            if element.bound:
                self.wrong(at_text, f"text beside the {element.bound} that fills <{element.tag}>; write it in an element of its own")
            if element.tag in ONLY and element.tag != "option":
                self.wrong(at_text, f"text in <{element.tag}>, which holds only {ONLY[element.tag]}; write it in one of these")
        elif element.tag in ONLY:
            return
        element.filled = True
        self.component.markup.append(escape(BLANKS.sub(lambda m: " " if "\n" in m[0] else m[0], self.decode(raw, at))))

    # >>elements
    def attributes(self, tag, at):
        """name -> (its offset, value, the value's offset) of the start tag there."""
        raw = self.get_starttag_text()
        found, i = {}, 1 + len(tag)
        while True:
            m = ATTRIBUTE.match(raw, i)
            if not m:
                break
            if m[1] in found:
                self.wrong(at + m.start(1), f"{m[1]} is there twice; leave one out")
            if m[3] is None or m[3][0] not in "\"'":
                self.wrong(at + m.start(1), f'{m[1]} has no value in quotes; write {m[1]}="{m[3] or ""}"')
                found[m[1]] = (at + m.start(1), m[3] or "", at + m.end())
            else:
                found[m[1]] = (at + m.start(1), m[3][1:-1], at + m.start(3) + 1)
            i = m.end()
        if not re.fullmatch(r"\s*/?>", raw[i:]):
            self.stop(at + i, f'<{tag} is not a tag as it stands; write <{tag} name="value">')
        if raw.endswith("/>") and tag not in VOID:
            self.wrong(at, f"HTML has no <{tag}/>; write <{tag}></{tag}>")
        return found

    def handle_starttag(self, tag, attrs):
        at = self.place()
        self.flush_text(at)
        attributes = self.attributes(tag, at)
        if tag == "template" and not self.component:
            return self.open_component(at, attributes)
        if not self.component:
            self.stop(at, f'<{tag}> outside of a component; write <template id="name"> around it')
        if not self.stack and self.component.root:
            self.stop(at, f"<{tag}> is a second element of the component; write one around both")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", tag) or len(tag) > NAME_MAX:
            self.stop(at, f"<{tag[:40]}> is not an element's name; write small letters, digits and '-'")
        if tag not in ELEMENTS:
            self.stop(at, f"<{tag}> is refused in a component: it is no element that only shows something (docs/formats/htip.md); leave it out"
                      + (" and write an element with each= for parts of its own" if tag == "template" else ""))
        if len(self.stack) == DEPTH_MAX:
            self.stop(at, f"more than {DEPTH_MAX} elements in one another; write a component of its own for the inner ones")
        element = Element(tag, at, self.stack[-1] if self.stack else None)
        if element.parent:
            self.check_place(element)
            if element.parent.bound:
                self.wrong(at, f"<{tag}> beside the {element.parent.bound} that fills <{element.parent.tag}>; write it "
                           + ("outside of it" if element.parent.bound == "binding" else 'as a component of its own, <template id="name" key="field">'))
            element.parent.filled = True
        elif tag in VOID:
            self.stop(at, f"<{tag}> cannot hold anything; write an element around it")
        else:
            self.component.root = element
        element.start = len(self.component.markup)
        self.component.markup.append("")
        self.component.slots.append(element)
        start = f"<{tag}"
        for name, (name_at, value, value_at) in attributes.items():
            start += self.attribute(element, name, name_at, value, value_at)
        self.component.markup[element.start] = start
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            raise Wrong

    def handle_endtag(self, tag):
        at = self.place()
        self.flush_text(at)
        if tag == "template" and not self.stack and self.component:
            if not self.component.root:
                self.wrong(at, "the component has no element; write one, for example <p>{{count}}</p>")
            else:
                self.close_component()
            self.component = None
            return
        if tag in VOID:
            self.stop(at, f"<{tag}> has no end tag; leave </{tag}> out")
        if not self.stack:
            self.stop(at, f"</{tag}> closes nothing; leave it out")
        if self.stack[-1].tag != tag:
            open_ = self.stack[-1]
            line = self.source.count("\n", 0, open_.at) + 1
            self.stop(at, f"</{tag}>, but <{open_.tag}> of line {line} is open; write </{open_.tag}> first")
        if not re.match(rf"</{tag}\s*>", self.source[at:at + len(tag) + 16], re.I):
            self.stop(at, f"this end tag has more than a name; write </{tag}>")
        self.stack.pop()
        self.component.markup.append(f"</{tag}>")

    def check_place(self, element):
        """HTML's parser would close or move this element."""
        tag, parent, at = element.tag, element.parent, element.at
        if tag in INSIDE and parent.tag not in INSIDE[tag].split():
            self.wrong(at, f"<{tag}> in <{parent.tag}>; HTML has it only in {INSIDE[tag].replace(' ', ' or ')}; write that around it")
            return
        if parent.tag in ONLY and tag not in ONLY[parent.tag].split():
            self.wrong(at, f"<{tag}> in <{parent.tag}>, which holds only {ONLY[parent.tag] or 'text'}; write it elsewhere")
            return
        closes = {tag} if tag in ("a", "button", "form", "nobr", "li") else {"dd", "dt"} if tag in ("dd", "dt") else set()
        closes |= HEADINGS if tag in HEADINGS else set()
        closes |= {"p"} if tag in BLOCKS else set()
        above = parent
        while above:
            if above.tag in closes:
                instead = "<span> for the inner one" if above.tag == "p" else "the inner one outside"
                self.wrong(at, f"<{tag}> in <{above.tag}>, which HTML closes there; write {instead}")
                return
            if above.tag in ("button", "table"):
                closes -= {"p"}
            if above.tag in CELLS:
                closes &= {"form"}
            if above.tag in ("ul", "ol", "menu", "dl"):
                closes -= {"li", "dd", "dt"}
            above = above.parent

    # >>attributes
    def attribute(self, element, name, at, value, value_at):
        """The text of one attribute in the markup, or '' and a binding."""
        kind, colon, word = name.partition(":")
        parts = self.parts(value, value_at)
        if colon and kind in ("class", "style"):
            regular = r"[^\s\"'<>&]+" if kind == "class" else r"(--)?[a-z][a-z0-9-]*"
            if not re.fullmatch(regular, word) or len(word.encode()) > NAME_MAX:
                self.wrong(at, f"'{word[:40]}' is no name of a {'class' if kind == 'class' else 'property'}; write {kind}:name=\"{{{{field}}}}\"")
            elif parts is None or parts[0]:
                self.wrong(at, f"{name} has a binding as its value; write {name}=\"{{{{field}}}}\"")
            else:
                self.bind(element, at, kind.upper(), word, parts[1], parts[2])
            return ""
        if colon and kind == "on":
            return self.event(element, at, word, value, value_at)
        if name == "each":
            self.list(element, at, value, value_at)
            return ""
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or len(name) > NAME_MAX:
            self.known(name.lower(), [], at, "no attribute", "write small letters, digits and '-', or class:, style:, on: before a name")
            return ""
        if name.startswith("on") and len(name) > 2:
            self.wrong(at, f"{name} would be a program in an attribute; write on:{name[2:]}=\"handler\"")
        elif name in ("style", "srcdoc"):
            self.wrong(at, f"{name} is refused; write " + ('style:property="{{field}}" or a class' if name == "style" else "an element"))
        elif name in ("data-slot", "data-on"):
            self.wrong(at, f"{name} is for the compiler; write " + ("{{field}}" if name == "data-slot" else 'on:click="handler"'))
        elif parts is None:
            text = self.decode(value, value_at)
            if script(text):
                self.wrong(value_at, f"{name} would run a program; write on:click=\"handler\"")
            if name == "id" and self.component.key:
                self.wrong(at, "every row would have this id; write class instead")
            return f' {name}="{escape(text)}"'
        elif name == "class":
            self.wrong(value_at, "a binding in class; write class:name=\"{{field}}\" for each class that changes")
        elif name in BOOLEANS:
            self.wrong(at, f"{name} is on whatever its value; write class:{name}=\"{{{{field}}}}\" or aria-{name}=\"{{{{field}}}}\"")
        elif name in URLS and not re.match(r"https?://[^/]+/|[/#?]|\.\.?/|[\w.-]+[/#?]|mailto:|tel:", parts[0]):
            self.wrong(value_at, f"{name} could be javascript:; write its beginning, for example {name}=\"/path/{{{{text(field)}}}}\"")
        else:
            self.bind(element, at, "ATTRIBUTE", name, parts[1], parts[2], parts[0])
        return ""

    def parts(self, value, at):
        """None without a binding, or (literal beginning, inside of the braces, its offset)."""
        if "{{" not in value and "}}" not in value:
            return None
        m = re.fullmatch(r"(.*?)\{\{(.*?)\}\}", value, re.S)
        if not m or "{{" in m[2] or "}}" in m[1] + m[2]:
            self.stop(at, 'a value is text with at most one binding at its end; write name="{{text(field, field)}}"')
        return self.decode(m[1], at), m[2], at + m.start(2)

    def event(self, element, at, word, value, value_at):
        c = self.component
        if word in STAYS:
            self.wrong(at, f"{word} does not bubble, so no handler sees it; "
                       + (f"write on:{STAYS[word]}" if STAYS[word] else "listen to it in the page's JavaScript"))
        elif not re.fullmatch(r"[a-z]{1,40}", word):
            self.wrong(at, f"'{word[:40]}' is no event; write on:click=\"handler\"")
        elif not NAME.fullmatch(value):
            self.wrong(value_at, f"'{value[:40]}' is no name of a handler; write on:{word}=\"name\" and {c.name}_name() in C")
        elif getattr(element, "event", False):
            self.wrong(at, "a second event of one element; write an element around it with this one")
        else:
            element.event = True
            if value not in c.handlers:
                self.symbol(f"{c.name}_{value}", value_at)
                c.handlers[value] = len(self.handlers) + 1
                self.handlers[c.name, value] = c.handlers[value]
            if len(self.handlers) >= HANDLERS_MAX:
                self.stop(value_at, f"more than {HANDLERS_MAX - 1} handlers; write one that serves several events")
            return f' data-on="{word}:{c.handlers[value]}"'
        return ""

    def list(self, element, at, value, value_at):
        if element.bound or element.tag in VOID:
            self.wrong(at, f"<{element.tag}> cannot hold rows; write each= on an empty element")
            return
        element.bound = "list"
        element.slot = at if element.slot is None else element.slot
        self.component.lists.append((element, value, value_at))

    # >>bindings
    def bind(self, element, at, kind, name, value, value_at, before=""):
        """Note a binding; close_component() writes it. before: literal text."""
        c = self.component
        m = VALUE.fullmatch(value)
        if not m:
            self.wrong(value_at, f"{{{{{value.strip()[:60]}}}}} is neither a field nor a function; write {{{{field}}}}, "
                       f"or {{{{text(field)}}}} and {c.name}_text() in C")
            return
        fields, function = [m[1]], None
        places = [value_at + m.start(1)]
        if m[2] is not None:
            function = m[1]
            found = list(re.finditer(r"\w+", m[2]))
            fields, places = [f[0] for f in found], [value_at + m.start(2) + f.start() for f in found]
            if not fields or not re.fullmatch(r"\s*\w+\s*(,\s*\w+\s*)*", m[2]):
                self.wrong(value_at, f"{function}() names no fields; write {{{{{function}(field)}}}} with those that it reads, so that it is renewed with them")
                return
        if not all([self.known(f, c.fields, p, f"<template id=\"{c.name}\"> has no field", f"write it in state: \"int32_t {f[:40]}\"") for f, p in zip(fields, places)]):
            return
        if element.slot is None:
            element.slot = at
        if name is not None and name not in self.names:
            if len(self.names) == NAMES_MAX:
                self.stop(at, f"more than {NAMES_MAX} names of attributes, classes and styles; write two pages")
            self.names.append(name)
        if function:
            self.function(function, kind, value_at + m.start(1))
            form = "FORMAT"
        else:
            form = self.form(kind, fields[0], places[0], before)
        c.bindings.append((element, kind, form, name, fields, function, before))

    def function(self, name, kind, at):
        c, kind = self.component, "bool" if kind == "CLASS" else "text"
        if not NAME.fullmatch(name):
            self.wrong(at, f"'{name[:40]}' is no name of a function; write small letters, digits and '_'")
        elif c.functions.setdefault(name, kind) != kind:
            self.wrong(at, f"{c.name}_{name}() is both a class and a text; write two functions")
        elif not [1 for b in c.bindings if b[5] == name]:
            self.symbol(f"{c.name}_{name}", at)

    def form(self, kind, field, at, before):
        c, of = self.component, self.component.types[field]
        if before:
            self.wrong(at, f"after text only a function can follow; write {{{{text({field})}}}} and {c.name}_text() in C")
        elif kind == "CLASS" and of not in ("float", "double"):
            return "BYTES"
        elif of == "char":
            return "BYTES"
        elif of == "int32_t":
            return "INTEGER"
        else:
            self.wrong(at, f"{field} is {of}; only int32_t and char[N] have a text; write int32_t {field}, or {{{{text({field})}}}} and {c.name}_text() in C")
        return "BYTES"

    # >>components
    def open_component(self, at, attributes):
        name, value_at = attributes.get("id", (at, "", at))[1:]
        for other, (other_at, _, _) in attributes.items():
            self.known(other, ["id", "state", "key"], other_at, "<template> has no attribute", "write id, state or key")
        if not NAME.fullmatch(name) or name in TAKEN or name.startswith("dx_") or name.endswith("_t"):
            self.stop(value_at, f"'{name[:40]}' is no name of a component; write id=\"name\" with small letters, digits and '_', no word of C or of the header")
        if any(c.name == name for c in self.components):
            self.stop(value_at, f"a second component '{name}'; write another id")
        if len(self.components) == COMPONENTS_MAX:
            self.stop(at, f"more than {COMPONENTS_MAX} components; write two pages")
        self.component = c = Component(name, at)
        self.components.append(c)
        for made in (f"{name}", f"{name}_markup", f"{name}_bindings", f"{name}_list", f"{name}_make", f"{name}_fill", f"{name.upper()}_ID"):
            self.symbol(made, value_at)
        if "state" in attributes:
            self.state(*attributes["state"][1:])
        if "key" in attributes:
            key, key_at = attributes["key"][1:]
            if self.known(key, c.fields, key_at, "no field", f"write it in state: \"uint32_t {key[:40]}\""):
                c.key = key
                if c.types[key] not in ("uint32_t", "int32_t"):
                    self.wrong(key_at, f"a key has 32 bits, and {key} is {c.types[key]}; write uint32_t {key}")

    def state(self, text, at):
        """Declarations of C: "int32_t a, b; char text[20];"."""
        c = self.component
        for m in re.finditer(r"[^;]+", text):
            if not m[0].strip():
                continue
            of = re.match(r"\s*(\w+)\s+", m[0], re.A)
            begin = at + m.start() + len(m[0]) - len(m[0].lstrip())
            if not of:
                self.wrong(begin, f"'{m[0].strip()[:40]}' declares nothing; write \"int32_t count\"")
                continue
            if not self.known(of[1], TYPES + ["char"], begin, "no type", "write int32_t"):
                continue
            one_at = at + m.start() + of.end()
            for one in m[0][of.end():].split(","):
                place = one_at + len(one) - len(one.lstrip())
                one_at += len(one) + 1
                declared = re.fullmatch(r"\s*([a-z][a-z0-9_]{0,62})\s*(?:\[\s*([1-9][0-9]{0,4})\s*\])?\s*", one)
                if not declared or (of[1] == "char") != (declared[2] is not None):
                    self.wrong(place, f"'{one.strip()[:40]}' is no field; write " + ('"char text[20]"' if of[1] == "char" else f'"{of[1]} count"'))
                elif declared[1] in KEYWORDS or declared[1].endswith("_t") or MACROS.fullmatch(declared[1]):
                    self.wrong(place, f"'{declared[1]}' has a meaning in C or for the page; write another name")
                elif declared[1] in c.fields:
                    self.wrong(place, f"a second field '{declared[1]}'; write another name")
                else:
                    c.fields[declared[1]], c.types[declared[1]], c.sizes[declared[1]] = place, of[1], declared[2]

    def close_component(self):
        c = self.component
        inner = [e for e in c.slots if e.slot is not None and e is not c.root]
        for element in inner:
            above = element.parent
            while above is not c.root and above and above.slot is None:
                above = above.parent
            if above is not None and above is not c.root:
                line = self.source.count("\n", 0, above.at) + 1
                self.wrong(element.slot, f"this binding is inside of <{above.tag}> of line {line}, which has one too; write the outer one on "
                           f"<{c.root.tag}>, or a component with each= for the inner part")
        if len(inner) > SLOTS_MAX:
            self.wrong(inner[SLOTS_MAX].slot, f"more than {SLOTS_MAX} elements with bindings; write components with each= for parts of it")
        for element in c.slots:
            c.markup[element.start] += (' data-slot=""' if element in inner else "") + ">"
        c.text = "".join(c.markup)
        if len(c.text.encode()) > MARKUP_MAX:
            self.wrong(c.at, f"more than {MARKUP_MAX} bytes of markup; write several components")
        c.slot_of = {c.root: 0, **{element: i + 1 for i, element in enumerate(inner)}}
        group = {f: f for f in c.fields} # fields that one function reads share a bit
        for binding in c.bindings:
            for field in binding[4]:
                old, new = group[field], group[binding[4][0]]
                group = {f: new if g == old else g for f, g in group.items()}
        used = {f for b in c.bindings for f in b[4]}
        c.bits, numbers = {}, {}
        for field in c.fields:
            if field in used:
                c.bits[field] = numbers.setdefault(group[field], len(numbers))
                if len(numbers) == BITS + 1 and c.bits[field] == BITS:
                    self.wrong(c.fields[field], f"more than {BITS} fields change apart; write a function that reads several of them")
                self.symbol(f"{c.name}_BIT_{field}".upper(), c.fields[field])

    def check_lists(self):
        rows = [c.name for c in self.components if c.key]
        for c in self.components:
            seen = {}
            for element, value, at in c.lists:
                if element.filled:
                    self.wrong(element.at, f"<{element.tag} each=...> holds only rows; write it empty")
                if value in seen:
                    self.wrong(at, f"a second list of '{value}' in <template id=\"{c.name}\">; write a component around one of them")
                elif self.known(value, rows, at, "no rows", f'write <template id="{value[:40]}" key="field" ...> for one'):
                    self.symbol(f"{c.name}_SLOT_{value}".upper(), at)
                seen[value] = True

    # >>writing
    def write(self):
        return "\n".join(self.lines()) + "\n"

    def lines(self):
        stem, guard = self.stem, f"{self.stem.upper()}_HTML_H"
        yield f"/* Components of {stem}.html, made by component.py: edit that file. Include layers/dx_page.h before. */"
        yield f"#ifndef {guard}"
        yield f"#define {guard}"
        yield "#include <stdbool.h>"
        yield "#include <stddef.h>"
        yield "#include <stdint.h>"
        for number, c in enumerate(self.components, 1):
            yield from self.write_component(c, number)
        if self.names:
            yield ""
            yield "/* By their number in bindings and operations. */"
            yield f"static const char *const {stem}_names[] = {{{', '.join(quoted(n) for n in self.names)}}};"
        yield ""
        yield "enum {"
        yield f"    {stem.upper()}_NAMES = {len(self.names)},"
        yield f"    {stem.upper()}_HANDLERS = {len(self.handlers) + 1} /* the first number without a handler */"
        yield "};"
        yield from self.write_format()
        yield from self.write_add()
        yield f"#endif /* {guard} */"

    def write_component(self, c, number):
        name, upper = c.name, c.name.upper()
        yield ""
        yield f"typedef struct {name} {{"
        yield "    uint64_t dirty;"
        for field, of in c.types.items():
            yield f"    {of} {field}" + (f"[{c.sizes[field]}]" if c.sizes[field] else "") + ";"
        yield f"}} {name};"
        yield ""
        yield "enum {"
        yield f"    {upper}_ID = {number}, /* of the component and of its template */"
        for field, bit in c.bits.items():
            yield f"    {upper}_BIT_{field.upper()} = {bit},"
        for element, value, _ in c.lists:
            yield f"    {upper}_SLOT_{value.upper()} = {c.slot_of[element]},"
        for handler, id_ in c.handlers.items():
            yield f"    {upper}_ON_{handler.upper()} = {id_},"
        yield "};"
        yield ""
        yield f"static const char {name}_markup[] ="
        pieces = split(c.text)
        for i, piece in enumerate(pieces):
            yield f"    {piece}" + (";" if i == len(pieces) - 1 else "")
        if c.bindings:
            yield ""
            yield "/* bit, type, form, 0, slot, name, offset, length */"
            yield f"static const dx_page_binding {name}_bindings[] = {{"
            for element, kind, form, word, fields, function, before in c.bindings:
                field = fields[0]
                value = f"{c.which[function, before, kind == 'CLASS']}, 0" if function else f"offsetof({name}, {field}), sizeof((({name} *)0)->{field})"
                yield (f"    {{{c.bits[field]}, DX_PAGE_{kind}, DX_PAGE_{form}, 0, {c.slot_of[element]}, "
                       f"{self.names.index(word) if word else 0}, {value}}},")
            yield "};"
        if c.functions or c.handlers or c.key:
            yield ""
            yield "/* For you to define. Texts: write at most capacity bytes, return how many there are. */"
        for function, kind in c.functions.items():
            yield (f"static bool {name}_{function}(const {name} *state);" if kind == "bool" else
                   f"static uint32_t {name}_{function}(const {name} *state, uint8_t *out, uint32_t capacity);")
        for handler in c.handlers:
            yield f"static void {name}_{handler}(void *user, dx_page *page, uint32_t node, const void *data, size_t size);"
        if c.key:
            yield f"static void {name}_fill(void *user, {name} *row); /* a new row, whose {c.key} is set */"
            yield from self.write_list(c)

    def write_list(self, c):
        name = c.name
        return [
            "", f"static inline void {name}_make(void *user, uint32_t key, void *state)", "{",
            f"    (({name} *)state)->{c.key} = ({c.types[c.key]})key;",
            f"    {name}_fill(user, ({name} *)state);", "}", "",
            f"/* Rows of {name} in a slot; then dx_page_list_update(). keys, nodes: capacity of each, borrowed. */",
            f"static inline void {name}_list(dx_page_list *list, uint32_t parent, uint32_t slot, uint32_t *keys, uint32_t *nodes,",
            f"{' ' * len(f'static inline void {name}_list(')}uint32_t capacity, void *user)", "{",
            f"    list->component = {name.upper()}_ID;", "    list->parent = parent;", "    list->slot = slot;", "    list->keys = keys;",
            "    list->nodes = nodes;", "    list->capacity = capacity;", f"    list->fill = {name}_make;", "    list->user = user;",
            "    list->count = 0;", "}"]

    def number_functions(self):
        """Each text that C writes has a number in the page, which DX_PAGE_FORMAT passes on."""
        self.texts = []
        for c in self.components:
            c.which = {}
            for _, kind, _, _, _, function, before in c.bindings:
                key = function, before, kind == "CLASS"
                if function and key not in c.which:
                    c.which[key] = len(self.texts)
                    self.texts.append((c, *key))

    def write_format(self):
        if not self.texts:
            return
        if any(before for _, _, before, _ in self.texts):
            yield from ["", f"static inline uint32_t {self.stem}_put(uint8_t *out, uint32_t capacity, const char *text)", "{", "    uint32_t at = 0;",
                        "    for (; text[at]; at++)", "        if (at < capacity) out[at] = (uint8_t)text[at];", "    return at;", "}"]
        yield from ["", "/* For desc.format. */",
                    f"static uint32_t {self.stem}_format(void *user, uint32_t component, uint32_t which, const void *state, uint8_t *out, uint32_t capacity)",
                    "{"]
        if any(before for _, _, before, _ in self.texts):
            yield "    uint32_t at;"
        yield from ["    (void)user, (void)component;", "    switch (which) {"]
        for i, (c, function, before, is_class) in enumerate(self.texts):
            state = f"(const {c.name} *)state"
            if is_class:
                yield f"    case {i}: return {c.name}_{function}({state}) ? 1 : 0; /* a byte that is not read */"
            elif before:
                yield f"    case {i}:"
                yield f"        at = {self.stem}_put(out, capacity, {quoted(before)});"
                yield "        if (at > capacity) return at;"
                yield f"        return at + {c.name}_{function}({state}, out + at, capacity - at);"
            else:
                yield f"    case {i}: return {c.name}_{function}({state}, out, capacity);"
        yield from ["    default: return 0;", "    }", "}"]

    def write_add(self):
        stem = self.stem
        yield from ["", "/* Add all components to a page that has no names yet, and set their handlers; then dx_page_seal(). An error of dx_page. */",
                    f"static inline int {stem}_add_to(dx_page *page, void *user)", "{", "    int error = DX_PAGE_OK;"]
        if self.names:
            yield from [f"    for (int i = 0; i < {stem.upper()}_NAMES && !error; i++) {{",
                        f"        const int number = dx_page_add_name(page, dx_htip_text_of({stem}_names[i]));",
                        "        if (number != i) error = number < 0 ? number : DX_PAGE_EDUPLICATE;", "    }"]
        for c in self.components:
            table = f"{c.name}_bindings" if c.bindings else "NULL"
            yield f"    if (!error) error = dx_page_add_template(page, {c.name.upper()}_ID, dx_htip_text_of({c.name}_markup));"
            yield f"    if (!error) error = dx_page_add_component(page, {c.name.upper()}_ID, {c.name.upper()}_ID, sizeof({c.name}), {table}, {len(c.bindings)});"
        for c in self.components:
            for handler in c.handlers:
                yield f"    if (!error) error = dx_page_on(page, {c.name.upper()}_ON_{handler.upper()}, {c.name}_{handler}, user);"
        yield from ["    (void)user;", "    return error;", "}"]


def split(text):
    """A string of C in lines."""
    pieces, line = [], ""
    for piece in re.findall(r"<[^>]*>|[^<]{1,60}", text):
        if line and len(line) + len(piece) > 90:
            pieces.append(line)
            line = ""
        line += piece
    return [quoted(piece) for piece in pieces + [line]]


def quoted(text):
    """A literal of C: octal escapes have three digits, so that no digit after one belongs to it; no trigraphs."""
    def one(byte):
        c = chr(byte)
        return "\\" + c if c in '"\\' else c if " " <= c <= "~" and c != "?" else f"\\{byte:03o}"
    return '"' + "".join(map(one, text.encode())) + '"'


def main():
    if len(sys.argv) != 3:
        print("usage: component.py PAGE.html OUT.h", file=sys.stderr)
        return 2
    compiler = Compiler(sys.argv[1])
    try:
        compiler.translate()
    except OSError as error:
        print(f"component.py: {sys.argv[1]}: {error.strerror}", file=sys.stderr)
        return 1
    for line, column, message in sorted(set(compiler.errors)):
        print(f"{sys.argv[1]}:{line}:{column}: {message}", file=sys.stderr)
    if compiler.errors:
        return 1
    made = f"{sys.argv[2]}.{os.getpid()}.tmp"
    try:
        with open(made, "w", encoding="utf-8", newline="\n") as file:
            file.write(compiler.write())
        os.replace(made, sys.argv[2])
    except OSError as error:
        if os.path.exists(made):
            os.remove(made)
        print(f"component.py: {sys.argv[2]}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
