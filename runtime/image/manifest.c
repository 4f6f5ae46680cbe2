/* SPDX-License-Identifier: MIT */
/*
 * From records to a manifest, in three steps: split each record's text into keys and values, sort
 * the records by kind and name, then take them in that order, so that all that a record speaks of
 * (the module's name, types) is known before it, and what is said twice stands side by side.
 */
#include "runtime/image/manifest.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/base/pool.h"
#include "runtime/base/text.h"
#include "runtime/value/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_TYPE   1
#define TEXT_MAX    ((size_t)4 << 20) /* all records together */
#define VERSION_MAX 128

/* In the order in which they are taken. */
enum kind {
    KIND_UNIT,
    KIND_MODULE,
    KIND_CONCURRENCY,
    KIND_REQUIRES,
    KIND_HANDLE,
    KIND_STRUCT,
    KIND_OPTION,
    KIND_EXPORT,
    KIND_IMPORT,
    KIND_TOPIC,
    KIND_SUBSCRIBE,
    KIND_HOOK,
    KIND_RESTORES,
    KIND_RESTORES_HANDLES,
    KIND_OTHER,
    KIND_COUNT,
};

/* The keys that mean something to this berth. param and field are lists. */
enum key {
    KEY_ABI,
    KEY_ALIAS,
    KEY_ANY,
    KEY_API,
    KEY_ASYNC,
    KEY_DEFAULT,
    KEY_DOC,
    KEY_FIELD,
    KEY_FULL,
    KEY_GROUP,
    KEY_HANDLER,
    KEY_HEADER,
    KEY_LAST,
    KEY_NAME,
    KEY_OF,
    KEY_PARAM,
    KEY_PRIORITY,
    KEY_RANGE,
    KEY_RELEASE,
    KEY_RETURNS,
    KEY_TRIES,
    KEY_TYPE,
    KEY_VERSION,
    KEY_COUNT,
};
static const char *const key_names[KEY_COUNT] = {
    "abi",      "alias", "any",     "api",     "async", "default", "doc",     "field",
    "full",     "group", "handler", "header",  "last",  "name",    "of",      "param",
    "priority", "range", "release", "returns", "tries", "type",    "version",
};

#define BIT(key) (1u << KEY_##key)
static const struct {
    const char *name; /* the record's first key */
    unsigned known, needed;
} kinds[KIND_COUNT] = {
    [KIND_UNIT] = { "unit", BIT(ABI) | BIT(API) | BIT(HEADER), BIT(ABI) | BIT(API) | BIT(HEADER) },
    [KIND_MODULE] = { "module", BIT(VERSION) | BIT(DOC), BIT(VERSION) },
    [KIND_CONCURRENCY] = { "concurrency", 0, 0 },
    [KIND_REQUIRES] = { "requires", BIT(RANGE), BIT(RANGE) },
    [KIND_HANDLE] = { "handle", BIT(RELEASE) | BIT(DOC) | BIT(OF), 0 },
    [KIND_STRUCT] = { "struct", BIT(FIELD) | BIT(DOC), BIT(FIELD) },
    [KIND_OPTION] = { "option", BIT(TYPE) | BIT(DEFAULT) | BIT(DOC), BIT(TYPE) | BIT(DEFAULT) },
    [KIND_EXPORT] = { "export", BIT(RETURNS) | BIT(DOC) | BIT(PARAM) | BIT(ASYNC), BIT(RETURNS) },
    [KIND_IMPORT] = { "import", BIT(RETURNS) | BIT(ALIAS) | BIT(FULL) | BIT(PARAM), BIT(RETURNS) },
    [KIND_TOPIC] = { "topic", BIT(NAME) | BIT(LAST) | BIT(PRIORITY) | BIT(PARAM), BIT(NAME) },
    [KIND_SUBSCRIBE] = { "subscribe",
                         BIT(HANDLER) | BIT(ANY) | BIT(FULL) | BIT(GROUP) | BIT(TRIES) | BIT(PARAM),
                         BIT(HANDLER) },
    [KIND_HOOK] = { "hook", BIT(VERSION) | BIT(PARAM), 0 },
    [KIND_RESTORES] = { "restores", 0, 0 },
    [KIND_RESTORES_HANDLES] = { "restores_handles", 0, 0 },
    [KIND_OTHER] = { "other", 0, 0 },
};

_Static_assert(BERTH_FIELDS_MAX == BERTH_PARAMETERS_MAX, "one list serves both");

/* A record while it is read. Its text is a copy, in the manifest. */
struct entry {
    uint64_t address;
    enum kind kind;
    char *text, *end; /* strings in turns: key, value, key, value; also empty ones before a key */
    const char *key, *name; /* its first pair */
    const char *handler;    /* or "": sorts subscriptions of one pattern */
    bool unknown;           /* it has keys that mean nothing here */
};

struct parse {
    struct berth_manifest *manifest;
    struct berth_error *error;
    struct entry *entries;
    size_t count;
    size_t first[KIND_COUNT], counts[KIND_COUNT];
    char *spare;                  /* where the next text is copied to */
    berth_manifest_fault_fn tell; /* or NULL: the first fault ends it */
    void *user;
    int told;         /* the first fault's code */
    bool wrong_types; /* one was of a record that declares a type */
};

/* A record's values, by key; NULL for what is not there. */
struct values {
    const char *of[KEY_COUNT];
    struct berth_text_parameter list[BERTH_PARAMETERS_MAX + 1];
    size_t count;
};

/* ---- Step one: keys and values ---- */

/* The next pair at *position, or false at the end. */
static bool next_pair(const struct entry *entry, char **position, char **ret_key, char **ret_value)
{
    char *p = *position;

    while (p < entry->end && !*p)
        p++;
    if (p >= entry->end)
        return false;
    *ret_key = p;
    *ret_value = p + strlen(p) + 1;
    *position = *ret_value + strlen(*ret_value) + 1;
    return true;
}

/* Where a record is spoken of in errors: `export "add": …`. Returns the error's code. */
static int named(const struct parse *parse, const struct entry *entry, int code)
{
    if (entry->name[0])
        berth_error_prefix(parse->error, "%s \"%s\": ", entry->key, entry->name);
    else
        berth_error_prefix(parse->error, "%s: ", entry->key);
    return code;
}

/* After a record (of that kind) that is wrong; BERTH_OK: go on without it. */
static int pass(struct parse *parse, int code, enum kind kind)
{
    if (!parse->tell || code == BERTH_OK || code == BERTH_RESOURCE_EXHAUSTED)
        return code;
    parse->tell(parse->user, parse->error);
    parse->told = parse->told ? parse->told : code;
    parse->wrong_types |= kind == KIND_HANDLE || kind == KIND_STRUCT;
    return BERTH_OK;
}

static bool key_is_valid(const char *key, size_t length)
{
    size_t skip = key[0] == '!';

    if (length <= skip || length >= BERTH_IDENTIFIER_MAX || key[skip] < 'a' || key[skip] > 'z')
        return false;
    for (size_t i = skip; i < length; i++)
        if (!((key[i] >= 'a' && key[i] <= 'z') || (key[i] >= '0' && key[i] <= '9') ||
              key[i] == '_' || key[i] == '-'))
            return false;
    return true;
}

/* With a "!" in front it is the same key, which a berth must know. */
static enum key find_key(const char *name)
{
    name += name[0] == '!';
    for (int key = 0; key < KEY_COUNT; key++)
        if (berth_text_equal(key_names[key], name))
            return (enum key)key;
    return KEY_COUNT;
}

static enum kind find_kind(const char *name)
{
    for (int kind = 0; kind < KIND_OTHER; kind++)
        if (berth_text_equal(kinds[kind].name, name))
            return (enum kind)kind;
    return KIND_OTHER;
}

/* A key that begins with "!", and means nothing here. */
static int not_understood(struct parse *parse, const struct entry *entry, const char *key)
{
    berth_error_set(
        parse->error, BERTH_UNIMPLEMENTED,
        "\"%s\" must be understood, and this berth does not: it is made for a newer one", key);
    return named(parse, entry, BERTH_UNIMPLEMENTED);
}

/* Ends each key with a NUL in place of its '='. */
static int split(struct parse *parse, struct entry *entry)
{
    for (char *p = entry->text; p < entry->end; p += strlen(p) + 1) {
        if (!*p)
            continue;
        char *key = p;
        size_t length = strcspn(key, "=");
        if (key[length] != '=' || !key_is_valid(key, length))
            return berth_error_set(parse->error, BERTH_DATA_LOSS,
                                   "a record has \"%.64s\" where key=value should be", key);
        key[length] = '\0';
        p += length + 1;
        if (!entry->key) {
            entry->key = key;
            entry->name = p;
        }
    }
    if (!entry->key)
        return berth_error_set(parse->error, BERTH_DATA_LOSS, "a record is empty");
    entry->kind = find_kind(entry->key);
    return BERTH_OK;
}

/* Looks at the keys after the first: none twice, but for lists. */
static int look(struct parse *parse, struct entry *entry)
{
    char *position = entry->text, *key, *value;
    unsigned seen = 0;

    next_pair(entry, &position, &key, &value);
    if (key[0] == '!')
        return not_understood(parse, entry, key);
    while (next_pair(entry, &position, &key, &value)) {
        enum key known = find_key(key);
        if (known == KEY_COUNT || !(kinds[entry->kind].known & (1u << known))) {
            if (key[0] == '!')
                return not_understood(parse, entry, key);
            entry->unknown = true;
            continue;
        }
        if ((seen & (1u << known)) && known != KEY_PARAM && known != KEY_FIELD)
            return named(
                parse, entry,
                berth_error_set(parse->error, BERTH_DATA_LOSS, "\"%s\" is there twice", key));
        seen |= 1u << known;
        if (known == KEY_HANDLER)
            entry->handler = value;
    }
    unsigned missing = kinds[entry->kind].needed & ~seen;
    if (missing)
        return named(parse, entry,
                     berth_error_set(parse->error, BERTH_DATA_LOSS, "\"%s\" is missing",
                                     key_names[__builtin_ctz(missing)]));
    return BERTH_OK;
}

static int read_record(struct parse *parse, const struct berth_record *record, struct entry *entry)
{
    size_t bad;

    if (record->type != NOTE_TYPE)
        return berth_error_set(parse->error, BERTH_UNIMPLEMENTED,
                               "a record of type %u: made for a newer berth", record->type);
    if (record->size == 0 || record->text[record->size - 1] != '\0')
        return berth_error_set(parse->error, BERTH_DATA_LOSS,
                               "the record at 0x%llx does not end in NUL",
                               (unsigned long long)record->address);
    if (!berth_utf8_valid(record->text, record->size, &bad))
        return berth_error_set(parse->error, BERTH_INVALID_ARGUMENT,
                               "the record at 0x%llx is not UTF-8 (byte %zu, after \"%.64s\")",
                               (unsigned long long)record->address, bad, record->text);
    *entry = (struct entry){ .address = record->address,
                             .text = parse->spare,
                             .end = parse->spare + record->size,
                             .handler = "" };
    memcpy(parse->spare, record->text, record->size);
    parse->spare += record->size;
    int code = split(parse, entry);
    return code ? code : look(parse, entry);
}

/* "type:name:doc": ends the first two in place. */
static bool split_parameter(char *text, struct berth_text_parameter *ret_parameter)
{
    char *name = strchr(text, ':');
    char *doc = name ? strchr(name + 1, ':') : NULL;

    if (!doc)
        return false;
    *name = *doc = '\0';
    *ret_parameter =
        (struct berth_text_parameter){ .type = text, .name = name + 1, .doc = doc + 1 };
    return true;
}

/* ([1, 2]): the parentheses are for the preprocessor; JSON has none. */
static char *unwrap(char *json)
{
    size_t length = strlen(json);

    if (length < 2 || json[0] != '(' || json[length - 1] != ')')
        return json;
    json[length - 1] = '\0';
    return json + 1;
}

/* Once for each entry: it splits the parameters in place. */
static int get_values(struct parse *parse, const struct entry *entry, struct values *values)
{
    char *position = entry->text, *key, *value;

    memset(values, 0, sizeof(*values));
    values->of[KEY_DOC] = "";
    next_pair(entry, &position, &key, &value);
    while (next_pair(entry, &position, &key, &value)) {
        enum key known = find_key(key);
        if (known == KEY_COUNT || !(kinds[entry->kind].known & (1u << known)))
            continue;
        values->of[known] = known == KEY_DEFAULT ? unwrap(value) : value;
        if (known != KEY_PARAM && known != KEY_FIELD)
            continue;
        if (values->count < BERTH_PARAMETERS_MAX + 1 &&
            !split_parameter(value, &values->list[values->count++]))
            return named(parse, entry,
                         berth_error_set(parse->error, BERTH_DATA_LOSS,
                                         "%s=%s is not type:name:documentation", key, value));
    }
    return BERTH_OK;
}

/* ---- Step two: order ---- */

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    int order;

    if (left->kind != right->kind)
        return left->kind < right->kind ? -1 : 1;
    if ((order = strcmp(left->name, right->name)) ||
        (order = strcmp(left->handler, right->handler)))
        return order;
    return (left->address > right->address) - (left->address < right->address);
}

static void sort(struct parse *parse)
{
    qsort(parse->entries, parse->count, sizeof(*parse->entries), compare_entries);
    for (size_t i = parse->count; i-- > 0;) {
        parse->counts[parse->entries[i].kind]++;
        parse->first[parse->entries[i].kind] = i;
    }
}

/* ---- Step three: each kind ---- */

static int wrong(struct parse *parse, const struct entry *entry, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
static int wrong(struct parse *parse, const struct entry *entry, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    berth_error_set_va(parse->error, BERTH_INVALID_ARGUMENT, format, arguments);
    va_end(arguments);
    return named(parse, entry, BERTH_INVALID_ARGUMENT);
}

static int check_identifier(struct parse *parse, const struct entry *entry, const char *text)
{
    if (berth_identifier_valid(text))
        return BERTH_OK;
    return wrong(parse, entry,
                 "\"%s\" is not a name: lower-case letters, digits and _, a letter first, at most "
                 "%d",
                 text, BERTH_IDENTIFIER_MAX);
}

static int get_number(struct parse *parse, const struct entry *entry, enum key key,
                      const char *text, unsigned *ret_number)
{
    uint64_t number = 0;
    size_t length = strspn(text, "0123456789");

    for (size_t i = 0; i < length && number <= UINT32_MAX; i++)
        number = number * 10 + (uint64_t)(text[i] - '0');
    if (length == 0 || text[length] || number > UINT32_MAX)
        return wrong(parse, entry, "%s is \"%s\", which is not a number below 2^32", key_names[key],
                     text);
    *ret_number = (unsigned)number;
    return BERTH_OK;
}

static void add_item(struct parse *parse, const struct entry *entry, enum berth_item_kind kind,
                     size_t index)
{
    struct berth_manifest *manifest = parse->manifest;
    manifest->items[manifest->item_count++] =
        (struct berth_manifest_item){ .address = entry->address, .kind = kind, .index = index };
}

/* Every file of a module has one. */
static int take_unit(struct parse *parse, const struct entry *entry, const struct values *values,
                     bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    unsigned abi, api;
    struct berth_semver own, other;

    int code = get_number(parse, entry, KEY_ABI, values->of[KEY_ABI], &abi);
    if (!code)
        code = get_number(parse, entry, KEY_API, values->of[KEY_API], &api);
    if (code)
        return code;
    if (again && abi != manifest->abi)
        return wrong(
            parse, entry,
            "its files were compiled for ABI revisions %u and %u: compile all of them with "
            "one <berth/module.h>",
            manifest->abi < abi ? manifest->abi : abi, manifest->abi < abi ? abi : manifest->abi);
    if (!berth_semver_parse(values->of[KEY_HEADER], &own))
        return wrong(parse, entry, "header is \"%s\", which is not a version",
                     values->of[KEY_HEADER]);
    manifest->abi = abi;
    manifest->api = api > manifest->api ? api : manifest->api;
    if (!again ||
        (berth_semver_parse(manifest->header, &other) && berth_semver_compare(&other, &own) < 0))
        manifest->header = values->of[KEY_HEADER];
    add_item(parse, entry, BERTH_ITEM_UNIT, 0);
    return BERTH_OK;
}

static int take_module(struct parse *parse, const struct entry *entry, const struct values *values,
                       bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    const char *version = values->of[KEY_VERSION];

    /* Records that are equal in two files may be one, or two: a linker's choice. */
    if (manifest->name && (!again || strcmp(manifest->version, version) != 0))
        return wrong(parse, entry, "it is the module \"%s\" %s already: one BERTH_MODULE each",
                     manifest->name, manifest->version);
    int code = check_identifier(parse, entry, entry->name);
    if (code)
        return code;
    if (strlen(version) > VERSION_MAX || !berth_semver_parse(version, &manifest->semver))
        return wrong(parse, entry,
                     "version \"%s\" is not a semantic version: write three numbers, like 1.0.0",
                     version);
    manifest->name = entry->name;
    manifest->version = version;
    manifest->doc = values->of[KEY_DOC];
    return BERTH_OK;
}

static int take_concurrency(struct parse *parse, const struct entry *entry,
                            const struct values *values, bool again)
{
    (void)values;
    struct berth_manifest *manifest = parse->manifest;
    manifest->parallel = strcmp(entry->name, "parallel") == 0;
    manifest->reentrant = strcmp(entry->name, "reentrant") == 0;
    if (!manifest->parallel && !manifest->reentrant && strcmp(entry->name, "serial") != 0)
        return wrong(parse, entry, "there is \"serial\", \"reentrant\" and \"parallel\"");
    if (!again && entry != &parse->entries[parse->first[KIND_CONCURRENCY]])
        return wrong(parse, entry, "it is \"%s\" as well", entry[-1].name);
    return BERTH_OK;
}

static int take_requires(struct parse *parse, const struct entry *entry,
                         const struct values *values, bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    struct berth_manifest_require *require = &manifest->requires[manifest->require_count];

    if (again) {
        if (strcmp(require[-1].range, values->of[KEY_RANGE]) == 0)
            return BERTH_OK;
        return wrong(parse, entry, "the ranges \"%s\" and \"%s\": write one, joined by a blank",
                     require[-1].range, values->of[KEY_RANGE]);
    }
    int code = check_identifier(parse, entry, entry->name);
    if (code)
        return code;
    if (strcmp(entry->name, manifest->name) == 0)
        return wrong(parse, entry, "a module cannot require itself");
    require->module = entry->name;
    require->range = values->of[KEY_RANGE];
    if (!berth_semver_range_parse(require->range, &require->parsed))
        return wrong(parse, entry,
                     "\"%s\" is not a range: write ^1.2, ~1.2.3, >=1.2 <2, =1.2.3, 1.2 or *",
                     require->range);
    manifest->require_count++;
    return BERTH_OK;
}

static int take_handle(struct parse *parse, const struct entry *entry, const struct values *values,
                       bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    const char *of = values->of[KEY_OF], *release = values->of[KEY_RELEASE];
    int code;

    (void)again; /* equal ones are one */
    if (!of == !release)
        return wrong(parse, entry, "it has either a function that releases it, or an owner");
    if (of) {
        if (!berth_function_name_valid(of))
            return wrong(parse, entry, "\"%s\" is not module.kind", of);
        char module[BERTH_IDENTIFIER_MAX + 1];
        size_t length = strcspn(of, ".");
        memcpy(module, of, length);
        module[length] = '\0';
        code = berth_types_add_handle(manifest->types, entry->name, module, of + length + 1, NULL,
                                      "", parse->error);
    } else {
        code = berth_types_add_handle(manifest->types, entry->name, manifest->name, entry->name,
                                      release, values->of[KEY_DOC], parse->error);
    }
    return code ? named(parse, entry, code) : BERTH_OK;
}

static int take_option(struct parse *parse, const struct entry *entry, const struct values *values,
                       bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    struct berth_manifest_option *option = &manifest->options[manifest->option_count];
    const char *json = values->of[KEY_DEFAULT];

    if (again)
        return wrong(parse, entry, "declared twice");
    int code = check_identifier(parse, entry, entry->name);
    if (code)
        return code;
    code = berth_types_find(manifest->types, values->of[KEY_TYPE], &option->type, parse->error);
    if (code)
        return named(parse, entry, code);
    if (option->type->kind == BERTH_KIND_VOID || strstr(option->type->identity, "handle("))
        return wrong(parse, entry, "%s cannot be an option's type", option->type->text);
    /* C has spelt true and false as it likes, by now. */
    if (option->type->kind == BERTH_KIND_BOOL && (!strcmp(json, "0") || !strcmp(json, "1")))
        json = json[0] == '0' ? "false" : "true";

    struct berth_arena arena;
    berth_arena_init(&arena);
    void *value = berth_arena_alloc(&arena, option->type->size);
    code = value ? berth_json_read(option->type, json, strlen(json), "its default", &arena, value,
                                   parse->error)
                 : berth_error_nomem(parse->error);
    berth_arena_deinit(&arena);
    if (code)
        return named(parse, entry, code);
    option->name = entry->name;
    option->doc = values->of[KEY_DOC];
    option->default_json = json;
    option->address = entry->address;
    manifest->option_count++;
    return BERTH_OK;
}

static int new_signature(struct parse *parse, const struct entry *entry,
                         const struct values *values, const struct berth_signature **ret_signature)
{
    const char *result = values->of[KEY_RETURNS] ? values->of[KEY_RETURNS] : "void";
    int code = berth_signature_new(parse->manifest->types, result, values->list, values->count,
                                   ret_signature, parse->error);
    return code ? named(parse, entry, code) : BERTH_OK;
}

static bool same_signature(const struct berth_signature *a, const struct berth_signature *b)
{
    return strcmp(a->identity, b->identity) == 0;
}

static int take_export(struct parse *parse, const struct entry *entry, const struct values *values,
                       bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    struct berth_manifest_export *export = &manifest->exports[manifest->export_count];

    if (again)
        return wrong(parse, entry, "two functions of that name");
    int code = check_identifier(parse, entry, entry->name);
    if (!code)
        code = new_signature(parse, entry, values, &export->signature);
    if (code)
        return code;
    export->name = entry->name;
    export->doc = values->of[KEY_DOC];
    export->async = values->of[KEY_ASYNC] != NULL;
    add_item(parse, entry, BERTH_ITEM_EXPORT, manifest->export_count++);
    return BERTH_OK;
}

static const char *const full_names[] = { "reject", "block", "drop_oldest" };
static const char *const priority_names[] = { "data", "control" };

const char *berth_full_name(enum berth_full full)
{
    return full_names[full];
}

const char *berth_priority_name(unsigned priority)
{
    return priority_names[priority];
}

bool berth_full_find(const char *name, enum berth_full *ret_full)
{
    for (size_t i = 0; i < sizeof(full_names) / sizeof(*full_names); i++)
        if (strcmp(name, full_names[i]) == 0) {
            *ret_full = (enum berth_full)i;
            return true;
        }
    return false;
}

static int get_full(struct parse *parse, const struct entry *entry, const struct values *values,
                    enum berth_full *ret_full)
{
    const char *full = values->of[KEY_FULL];
    if (!full || berth_full_find(full, ret_full))
        return BERTH_OK;
    return wrong(parse, entry, "\"%s\" is no policy: write reject, block or drop_oldest", full);
}

/* A full mailbox, for what is started and sent: of all records of one function that say it. */
static int take_full(struct parse *parse, const struct entry *entry, const struct values *values,
                     struct berth_manifest_import *import)
{
    enum berth_full full = BERTH_FULL_REJECT;
    int code = get_full(parse, entry, values, &full);
    if (code || !values->of[KEY_FULL])
        return code;
    if (import->has_full && import->full != full)
        return wrong(parse, entry, "imported with full=%s and with full=%s: they must be equal",
                     berth_full_name(import->full), berth_full_name(full));
    import->has_full = true;
    import->full = full;
    return BERTH_OK;
}

static int take_import(struct parse *parse, const struct entry *entry, const struct values *values,
                       bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    struct berth_manifest_import *import = &manifest->imports[manifest->import_count];
    const struct berth_signature *signature;

    if (!berth_function_name_valid(entry->name))
        return wrong(parse, entry, "not the name of a function: write module and function");
    int code = new_signature(parse, entry, values, &signature);
    if (code)
        return code;
    if (again) {
        if (!same_signature(import[-1].signature, signature))
            return wrong(parse, entry, "imported as %s and as %s: they must be equal",
                         import[-1].signature->identity, signature->identity);
        add_item(parse, entry, BERTH_ITEM_IMPORT, manifest->import_count - 1);
        return take_full(parse, entry, values, &import[-1]);
    }
    char *module = parse->spare;
    parse->spare = stpcpy(module, entry->name) + 1;
    char *function = strchr(module, '.');
    *function++ = '\0';
    *import = (struct berth_manifest_import){
        .module = module, .function = function, .name = entry->name, .signature = signature
    };
    add_item(parse, entry, BERTH_ITEM_IMPORT, manifest->import_count++);
    return take_full(parse, entry, values, import);
}

/* What a topic says besides its type. */
static int take_topic_ways(struct parse *parse, const struct entry *entry,
                           const struct values *values, struct berth_manifest_topic *topic)
{
    const char *priority = values->of[KEY_PRIORITY];

    topic->last = values->of[KEY_LAST] != NULL;
    topic->priority = priority && strcmp(priority, "control") == 0;
    if (priority && strcmp(priority, priority_names[topic->priority]) != 0)
        return wrong(parse, entry, "\"%s\" is no priority: write data or control", priority);
    return BERTH_OK;
}

static int take_topic(struct parse *parse, const struct entry *entry, const struct values *values,
                      bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    struct berth_manifest_topic *topic = &manifest->topics[manifest->topic_count];
    const struct berth_signature *signature;

    if (!berth_topic_valid(entry->name))
        return wrong(parse, entry,
                     "not a topic: words of lower-case letters, digits, _ and -, joined by dots");
    if (!berth_c_identifier_valid(values->of[KEY_NAME]))
        return wrong(parse, entry, "\"%s\" is not a name in C", values->of[KEY_NAME]);
    struct berth_manifest_topic ways = { .topic = entry->name };
    int code = take_topic_ways(parse, entry, values, &ways);
    if (code == BERTH_OK)
        code = new_signature(parse, entry, values, &signature);
    if (code)
        return code;
    if (again && (topic[-1].last != ways.last || topic[-1].priority != ways.priority))
        return wrong(parse, entry, "declared twice, with other attributes: they must be equal");
    if (again) {
        if (!same_signature(topic[-1].signature, signature))
            return wrong(parse, entry, "declared as %s and as %s: they must be equal",
                         topic[-1].signature->identity, signature->identity);
        add_item(parse, entry, BERTH_ITEM_TOPIC, manifest->topic_count - 1);
        return BERTH_OK;
    }
    *topic = ways;
    topic->name = values->of[KEY_NAME];
    topic->signature = signature;
    add_item(parse, entry, BERTH_ITEM_TOPIC, manifest->topic_count++);
    return BERTH_OK;
}

/* How a handler wants its messages. */
static int take_receipt(struct parse *parse, const struct entry *entry, const struct values *values,
                        struct berth_manifest_subscribe *subscribe)
{
    const char *tries = values->of[KEY_TRIES];

    subscribe->full = BERTH_FULL_REJECT;
    subscribe->tries = 1;
    subscribe->group = values->of[KEY_GROUP];
    int code = get_full(parse, entry, values, &subscribe->full);
    if (!code && tries)
        code = get_number(parse, entry, KEY_TRIES, tries, &subscribe->tries);
    if (code)
        return code;
    if (subscribe->tries < 1 || subscribe->tries > BERTH_TRIES_MAX)
        return wrong(parse, entry, "it has %u tries; there are 1 to %d", subscribe->tries,
                     BERTH_TRIES_MAX);
    if (subscribe->group && !berth_identifier_valid(subscribe->group))
        return wrong(parse, entry, "\"%s\" cannot be a group's name: write [a-z][a-z0-9_]*",
                     subscribe->group);
    return BERTH_OK;
}

static int take_subscribe(struct parse *parse, const struct entry *entry,
                          const struct values *values, bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    struct berth_manifest_subscribe *subscribe = &manifest->subscribes[manifest->subscribe_count];

    if (again)
        return wrong(parse, entry, "handled by %s twice", entry->handler);
    if (!berth_pattern_valid(entry->name))
        return wrong(parse, entry,
                     "not a pattern of topics: words joined by dots, * for any one, > at the end "
                     "for the rest");
    if (!berth_c_identifier_valid(entry->handler))
        return wrong(parse, entry, "\"%s\" is not a name in C", entry->handler);
    int code = take_receipt(parse, entry, values, subscribe);
    if (code == BERTH_OK)
        code = new_signature(parse, entry, values, &subscribe->signature);
    if (code)
        return code;
    subscribe->pattern = entry->name;
    subscribe->handler = entry->handler;
    subscribe->any = values->of[KEY_ANY] != NULL;
    if (subscribe->any && strcmp(subscribe->signature->identity, "(string,json)void") != 0)
        return wrong(parse, entry, "a handler of any topic takes (string topic, json fields)");
    add_item(parse, entry, BERTH_ITEM_SUBSCRIBE, manifest->subscribe_count++);
    return BERTH_OK;
}

const char *berth_hook_name(enum berth_hook hook)
{
    static const char *const names[BERTH_HOOK_COUNT] = { "start", "stop", "save", "restore" };
    return names[hook];
}

static int take_hook(struct parse *parse, const struct entry *entry, const struct values *values,
                     bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    const struct berth_signature *signature;
    unsigned hook = 0;

    if (again)
        return wrong(parse, entry, "there are two of them");
    while (hook < BERTH_HOOK_COUNT && strcmp(berth_hook_name(hook), entry->name) != 0)
        hook++;
    if (hook == BERTH_HOOK_COUNT)
        return wrong(parse, entry, "there are start, stop, save and restore");
    int code = new_signature(parse, entry, values, &signature);
    if (code)
        return code;
    if (strcmp(signature->identity, hook == BERTH_HOOK_RESTORE ? "(u32,bytes)void" : "()void") != 0)
        return wrong(parse, entry, "it takes other parameters");
    if (hook == BERTH_HOOK_SAVE) {
        const char *version = values->of[KEY_VERSION] ? values->of[KEY_VERSION] : "";
        code = get_number(parse, entry, KEY_VERSION, version, &manifest->state_version);
        if (code)
            return code;
    }
    manifest->hooks[hook] = true;
    add_item(parse, entry, BERTH_ITEM_HOOK, hook);
    return BERTH_OK;
}

/* "1, 2": which versions of a state RESTORE reads. */
static int take_restores(struct parse *parse, const struct entry *entry,
                         const struct values *values, bool again)
{
    struct berth_manifest *manifest = parse->manifest;
    (void)values;
    if (again || manifest->restore_count)
        return wrong(parse, entry, "there are two of them");
    if (!manifest->hooks[BERTH_HOOK_RESTORE])
        return wrong(parse, entry, "it has no BERTH_RESTORE that would read them");
    for (const char *at = entry->name;; at++) {
        uint64_t version = 0;
        size_t length = strspn(at += strspn(at, " "), "0123456789");
        for (size_t i = 0; i < length && version <= UINT32_MAX; i++)
            version = version * 10 + (uint64_t)(at[i] - '0');
        at += length;
        at += strspn(at, " ");
        if (length == 0 || version > UINT32_MAX || (*at && *at != ','))
            return wrong(parse, entry, "write the versions' numbers, like BERTH_RESTORES(1, 2)");
        if (manifest->restore_count == BERTH_RESTORES_MAX)
            return wrong(parse, entry, "at most %d versions", BERTH_RESTORES_MAX);
        manifest->restores[manifest->restore_count++] = (unsigned)version;
        if (!*at)
            return BERTH_OK;
    }
}

static int take_restores_handles(struct parse *parse, const struct entry *entry,
                                 const struct values *values, bool again)
{
    (void)values;
    if (again)
        return wrong(parse, entry, "there are two of them");
    if (!parse->manifest->hooks[BERTH_HOOK_RESTORE] || !parse->manifest->hooks[BERTH_HOOK_SAVE])
        return wrong(parse, entry, "it has no BERTH_SAVE and BERTH_RESTORE that would do it");
    parse->manifest->restores_handles = true;
    return BERTH_OK;
}

/* ---- Structs, whose fields may be structs that are declared later ---- */

/* The name inside of array() and optional(). */
static void base_type(const char *text, char name[BERTH_IDENTIFIER_MAX + 1])
{
    const char *open = strchr(text, '(');
    size_t length = 0;

    for (text = open ? open + 1 : text; *text && *text != ')' && length < BERTH_IDENTIFIER_MAX;
         text++)
        if (*text != ' ')
            name[length++] = *text;
    name[length] = '\0';
}

/* Whether a field has the type of a struct that is not taken yet. */
static bool waits(const struct parse *parse, const struct values *values, const bool *taken)
{
    const struct entry *structs = &parse->entries[parse->first[KIND_STRUCT]];

    for (size_t i = 0; i < values->count; i++) {
        char name[BERTH_IDENTIFIER_MAX + 1];
        base_type(values->list[i].type, name);
        for (size_t low = 0, high = parse->counts[KIND_STRUCT]; low < high;) {
            size_t middle = low + (high - low) / 2;
            int order = strcmp(name, structs[middle].name);
            if (order == 0 && !taken[middle])
                return true;
            if (order == 0)
                break;
            if (order < 0)
                high = middle;
            else
                low = middle + 1;
        }
    }
    return false;
}

/* One level of nesting a round; more than there may be means that one contains itself. */
static int take_structs(struct parse *parse)
{
    const struct entry *structs = &parse->entries[parse->first[KIND_STRUCT]];
    size_t count = parse->counts[KIND_STRUCT], left = count, stuck = 0;
    struct values *values = berth_calloc(count + 1, sizeof(*values));
    bool *taken = berth_calloc(count + 1, sizeof(*taken));
    int code = values && taken ? BERTH_OK : berth_error_nomem(parse->error);

    for (size_t i = 0; i < count && !code; i++) {
        code = get_values(parse, &structs[i], &values[i]);
        taken[i] = code != BERTH_OK; /* what is wrong with it has been told */
        left -= taken[i];
        code = pass(parse, code, KIND_STRUCT);
    }
    for (unsigned round = 0; round <= BERTH_TYPE_DEPTH_MAX && left && !code; round++) {
        for (size_t i = 0; i < count && !code; i++) {
            if (taken[i])
                continue;
            stuck = i;
            if (waits(parse, &values[i], taken))
                continue;
            code = berth_types_add_struct(parse->manifest->types, structs[i].name,
                                          values[i].of[KEY_DOC], values[i].list, values[i].count,
                                          parse->error);
            if (code)
                code = pass(parse, named(parse, &structs[i], code), KIND_STRUCT);
            taken[i] = true;
            left--;
        }
    }
    if (left && !code)
        code = pass(parse,
                    wrong(parse, &structs[stuck],
                          "it contains itself, or structs within structs more than %d deep",
                          BERTH_TYPE_DEPTH_MAX),
                    KIND_STRUCT);
    berth_free(values);
    berth_free(taken);
    return code;
}

/* ---- What this berth does not know ---- */

static void write_json_pair(struct berth_buffer *buffer, const char *key, const char *value)
{
    berth_buffer_text(buffer, buffer->size > 1 ? "," : "");
    berth_json_write_string(key, strlen(key), buffer);
    berth_buffer_text(buffer, ":");
    berth_json_write_string(value, strlen(value), buffer);
}

static int take_other(struct parse *parse, const struct entry *entry)
{
    struct berth_manifest *manifest = parse->manifest;
    struct berth_buffer buffer;
    char *position = entry->text, *key, *value;

    berth_buffer_init(&buffer, 0);
    berth_buffer_text(&buffer, "{");
    next_pair(entry, &position, &key, &value);
    write_json_pair(&buffer, key, value);
    while (next_pair(entry, &position, &key, &value)) {
        enum key known = find_key(key);
        if (known == KEY_COUNT || !(kinds[entry->kind].known & (1u << known)))
            write_json_pair(&buffer, key, value);
    }
    berth_buffer_text(&buffer, "}");
    char *text = berth_buffer_take(&buffer, NULL);
    if (!text)
        return berth_error_nomem(parse->error);
    manifest->others[manifest->other_count++] =
        (struct berth_manifest_other){ .kind = entry->key, .text = text };
    return BERTH_OK;
}

/* ---- The whole ---- */

static int take_kind(struct parse *parse, enum kind kind)
{
    static int (*const takers[KIND_COUNT])(struct parse *, const struct entry *,
                                           const struct values *, bool) = {
        [KIND_UNIT] = take_unit,
        [KIND_MODULE] = take_module,
        [KIND_CONCURRENCY] = take_concurrency,
        [KIND_REQUIRES] = take_requires,
        [KIND_HANDLE] = take_handle,
        [KIND_OPTION] = take_option,
        [KIND_EXPORT] = take_export,
        [KIND_IMPORT] = take_import,
        [KIND_TOPIC] = take_topic,
        [KIND_SUBSCRIBE] = take_subscribe,
        [KIND_HOOK] = take_hook,
        [KIND_RESTORES] = take_restores,
        [KIND_RESTORES_HANDLES] = take_restores_handles,
    };
    const struct entry *first = parse->entries + parse->first[kind];
    bool skip = false; /* its like was wrong */
    int code = BERTH_OK;

    if (kind == KIND_STRUCT)
        return take_structs(parse);
    for (const struct entry *entry = first;
         takers[kind] && entry < first + parse->counts[kind] && !code; entry++) {
        struct values values;
        bool again = entry > first && strcmp(entry->name, entry[-1].name) == 0 &&
                     strcmp(entry->handler, entry[-1].handler) == 0;
        if (again && skip)
            continue;
        code = get_values(parse, entry, &values);
        if (!code)
            code = takers[kind](parse, entry, &values, again);
        skip = code != BERTH_OK;
        code = pass(parse, code, kind);
    }
    return code;
}

/* The function that ends a handle must be there, and take it. */
static int check_releases(struct parse *parse)
{
    const struct berth_manifest *manifest = parse->manifest;

    for (const struct berth_type *type = berth_types_declared(manifest->types); type;
         type = type->next) {
        if (type->kind != BERTH_KIND_HANDLE || !type->release)
            continue;
        const struct berth_manifest_export *export =
            berth_manifest_find_export(manifest, type->release);
        if (!export || export->signature->count != 1 ||
            export->signature->parameters[0].type != type)
            return berth_error_set(parse->error, BERTH_INVALID_ARGUMENT,
                                   "handle \"%s\": it is released by %s, and there is no such "
                                   "function that takes one %s",
                                   type->name, type->release, type->name);
    }
    return BERTH_OK;
}

static int compare_items(const void *a, const void *b)
{
    const struct berth_manifest_item *left = a, *right = b;
    return (left->address > right->address) - (left->address < right->address);
}

static int check_presence(struct parse *parse)
{
    int code = BERTH_OK;

    if (parse->counts[KIND_MODULE] == 0)
        code = pass(parse,
                    berth_error_set(parse->error, BERTH_INVALID_ARGUMENT,
                                    "it has no BERTH_MODULE(\"name\", \"1.0.0\", "
                                    "\"words\")"),
                    KIND_OTHER);
    if (code == BERTH_OK && parse->counts[KIND_UNIT] == 0)
        code = pass(parse,
                    berth_error_set(parse->error, BERTH_DATA_LOSS, "it has no record of a unit"),
                    KIND_OTHER);
    return code;
}

static int take_all(struct parse *parse)
{
    struct berth_manifest *manifest = parse->manifest;

    int code = parse->told ? BERTH_OK : check_presence(parse);
    for (size_t i = 0; i < parse->count && !code; i++) /* before parameters are split in place */
        if (parse->entries[i].kind == KIND_OTHER || parse->entries[i].unknown)
            code = take_other(parse, &parse->entries[i]);
    for (int kind = 0; kind < KIND_COUNT && !code; kind++) {
        code = take_kind(parse, (enum kind)kind);
        if (kind == KIND_MODULE && !manifest->name) /* it was wrong */
            manifest->name = manifest->version = "";
        if (kind == KIND_STRUCT && !code && parse->wrong_types)
            code = parse->told; /* what has such a type would only seem to be wrong */
    }
    if (!code)
        code = pass(parse, check_releases(parse), KIND_OTHER);
    qsort(manifest->items, manifest->item_count, sizeof(*manifest->items), compare_items);
    return code;
}

/* Carves an array out of the manifest's memory. */
#define CARVE(member, number) \
    (manifest->member = (void *)memory, memory += (number) * sizeof(*manifest->member))

/* One block: the manifest, its arrays (as large as there are records) and the imports' names. */
static int allocate(struct parse *parse)
{
    const size_t *counts = parse->counts;
    struct berth_manifest *manifest;
    size_t others = 0, names = 0;

    for (size_t i = 0; i < parse->count; i++) {
        const struct entry *entry = &parse->entries[i];
        others += entry->unknown || entry->kind == KIND_OTHER;
        names += entry->kind == KIND_IMPORT ? strlen(entry->name) + 1 : 0;
    }
    size_t size = sizeof(*manifest) + counts[KIND_REQUIRES] * sizeof(*manifest->requires) +
                  counts[KIND_OPTION] * sizeof(*manifest->options) +
                  counts[KIND_EXPORT] * sizeof(*manifest->exports) +
                  counts[KIND_IMPORT] * sizeof(*manifest->imports) +
                  counts[KIND_TOPIC] * sizeof(*manifest->topics) +
                  counts[KIND_SUBSCRIBE] * sizeof(*manifest->subscribes) +
                  others * sizeof(*manifest->others) + parse->count * sizeof(*manifest->items) +
                  names;
    manifest = berth_pool_alloc(size);
    if (!manifest)
        return berth_error_nomem(parse->error);
    char *memory = (char *)(manifest + 1);
    CARVE(requires, counts[KIND_REQUIRES]);
    CARVE(options, counts[KIND_OPTION]);
    CARVE(exports, counts[KIND_EXPORT]);
    CARVE(imports, counts[KIND_IMPORT]);
    CARVE(topics, counts[KIND_TOPIC]);
    CARVE(subscribes, counts[KIND_SUBSCRIBE]);
    CARVE(others, others);
    CARVE(items, parse->count);
    parse->spare = memory;
    parse->manifest = manifest;
    manifest->refs = 1;
    manifest->types = berth_types_new();
    return manifest->types ? BERTH_OK : berth_error_nomem(parse->error);
}

/* Copies the records' texts, which become the manifest's, and makes entries of them. */
static int read_records(struct parse *parse, const struct berth_record *records, size_t count,
                        char **ret_text)
{
    size_t size = 0;
    int code = BERTH_OK;

    for (size_t i = 0; i < count; i++) {
        if (records[i].size > TEXT_MAX - size)
            return berth_error_set(parse->error, BERTH_RESOURCE_EXHAUSTED,
                                   "its records are more than %zu bytes", TEXT_MAX);
        size += records[i].size;
    }
    parse->spare = *ret_text = berth_pool_alloc(size + 1);
    parse->entries = berth_calloc(count, sizeof(*parse->entries));
    if (!parse->spare || !parse->entries)
        return berth_error_nomem(parse->error);
    for (size_t i = 0; i < count && !code; i++) {
        struct entry *entry = &parse->entries[parse->count];
        code = read_record(parse, &records[i], entry);
        parse->count += code == BERTH_OK;
        code = pass(parse, code, entry->kind);
    }
    return code;
}

static int make(struct parse *parse, const struct berth_record *records, size_t count,
                struct berth_manifest **ret_manifest)
{
    char *text = NULL;

    if (count == 0)
        return berth_error_set(parse->error, BERTH_NOT_FOUND,
                               "it has no manifest: a module includes <berth/module.h> and says "
                               "BERTH_MODULE(\"name\", \"1.0.0\", \"words\")");
    int code = read_records(parse, records, count, &text);
    if (!code) {
        sort(parse);
        code = allocate(parse);
    }
    if (parse->manifest)
        parse->manifest->memory = text;
    else
        berth_pool_free(text);
    if (!code)
        code = take_all(parse);
    if (!code)
        code = parse->told;
    berth_free(parse->entries);
    if (code)
        berth_manifest_unref(parse->manifest);
    else
        *ret_manifest = parse->manifest;
    return code;
}

int berth_manifest_new(const struct berth_record *records, size_t count,
                       struct berth_manifest **ret_manifest, struct berth_error *error)
{
    struct parse parse = { .error = error };

    return make(&parse, records, count, ret_manifest);
}

int berth_manifest_examine(const struct berth_record *records, size_t count,
                           berth_manifest_fault_fn tell, void *user,
                           struct berth_manifest **ret_manifest, struct berth_error *error)
{
    struct parse parse = { .error = error, .tell = tell, .user = user };

    return make(&parse, records, count, ret_manifest);
}

struct berth_manifest *berth_manifest_ref(struct berth_manifest *manifest)
{
    __atomic_add_fetch(&manifest->refs, 1, __ATOMIC_RELAXED);
    return manifest;
}

void berth_manifest_unref(struct berth_manifest *manifest)
{
    if (!manifest || __atomic_sub_fetch(&manifest->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < manifest->other_count; i++)
        berth_free(manifest->others[i].text);
    berth_types_free(manifest->types);
    berth_pool_free(manifest->memory);
    berth_pool_free(manifest);
}

/* ---- Finding ---- */

const struct berth_manifest_export *berth_manifest_find_export(
    const struct berth_manifest *manifest, const char *name)
{
    for (size_t low = 0, high = manifest->export_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, manifest->exports[middle].name);
        if (order == 0)
            return &manifest->exports[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct berth_manifest_option *berth_manifest_find_option(
    const struct berth_manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->option_count; i++)
        if (strcmp(manifest->options[i].name, name) == 0)
            return &manifest->options[i];
    return NULL;
}

const struct berth_manifest_item *berth_manifest_find_item(const struct berth_manifest *manifest,
                                                           uint64_t address)
{
    struct berth_manifest_item key = { .address = address };
    return bsearch(&key, manifest->items, manifest->item_count, sizeof(key), compare_items);
}

const char *berth_manifest_describe(const struct berth_manifest *manifest,
                                    const struct berth_manifest_item *item, char *buffer,
                                    size_t size)
{
    const char *kind = "record", *name = "";

    switch (item->kind) {
    case BERTH_ITEM_UNIT:
        kind = "unit";
        break;
    case BERTH_ITEM_EXPORT:
        kind = "export ";
        name = manifest->exports[item->index].name;
        break;
    case BERTH_ITEM_IMPORT:
        kind = "import ";
        name = manifest->imports[item->index].name;
        break;
    case BERTH_ITEM_TOPIC:
        kind = "topic ";
        name = manifest->topics[item->index].topic;
        break;
    case BERTH_ITEM_SUBSCRIBE:
        kind = "handler ";
        name = manifest->subscribes[item->index].handler;
        break;
    case BERTH_ITEM_HOOK:
        kind = "hook ";
        name = berth_hook_name((enum berth_hook)item->index);
        break;
    case BERTH_ITEM_NONE:
        break;
    }
    snprintf(buffer, size, "%s%s", kind, name);
    return buffer;
}
