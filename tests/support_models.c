/* See support_models.h. */
#include "tests/support_models.h"

#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static test_path folders[512];
static size_t n_folders;

static void remove_folders(void) {
    static const char *const files[] = {"config.json",
                                        "model.safetensors",
                                        "model.safetensors.index.json",
                                        "generation_config.json",
                                        "a.safetensors",
                                        "b.safetensors",
                                        "source.vocab.txt",
                                        "target.vocab.txt",
                                        "vocab.txt",
                                        "vocab.json",
                                        "tokenizer_config.json",
                                        "source.spm",
                                        "target.spm",
                                        "spiece.model",
                                        "sentencepiece.bpe.model",
                                        "modules.json",
                                        "sentence_bert_config.json",
                                        "1_Pooling/config.json",
                                        "x.safetensors"};
    for (size_t i = 0; i < n_folders; i++) {
        for (size_t k = 0; k < PM_COUNT(files); k++) unlink(test_join(&folders[i], files[k]).s);
        rmdir(test_join(&folders[i], "1_Pooling").s);
        rmdir(folders[i].s);
    }
}

test_path test_join(const test_path *folder, const char *file) {
    test_path p;
    if (snprintf(p.s, sizeof p.s, "%s/%s", folder->s, file) >= TEST_PATH) fail_msg("path too long");
    return p;
}

test_path test_reference(const char *name, const char *file) {
    test_path p;
    snprintf(p.s, sizeof p.s, PM_SOURCE_DIR "/tests/data/reference/%s%s%s", name, file ? "/" : "",
             file ? file : "");
    return p;
}

test_path test_folder(void) {
    test_path p = {"/tmp/pumice-test-XXXXXX"};
    if (n_folders == 0) atexit(remove_folders);
    if (n_folders == PM_COUNT(folders) || !mkdtemp(p.s)) fail_msg("cannot make a folder under /tmp");
    return folders[n_folders++] = p;
}

unsigned char *test_read_file(const char *path, size_t *out_bytes) {
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0) fail_msg("cannot read %s", path);
    unsigned char *data = malloc((size_t)st.st_size + 1);
    assert_non_null(data);
    *out_bytes = fread(data, 1, (size_t)st.st_size, f);
    data[*out_bytes] = 0;
    fclose(f);
    return data;
}

void test_write_file(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) fail_msg("cannot write %s", path);
}

test_path test_copy_model(const char *name) {
    static const char *const files[] = {"config.json", "model.safetensors"};
    test_path folder = test_folder();
    for (size_t i = 0; i < PM_COUNT(files); i++) {
        size_t n;
        unsigned char *data = test_read_file(test_reference(name, files[i]).s, &n);
        test_write_file(test_join(&folder, files[i]).s, data, n);
        free(data);
    }
    return folder;
}

static json_t *parse(const char *json) {
    json_error_t error;
    json_t *v = json_loads(json, JSON_DECODE_ANY, &error);
    if (!v) fail_msg("test's own JSON %s: %s", json, error.text);
    return v;
}

static void set(json_t *object, const char *key, const char *json) {
    if (json)
        json_object_set_new(object, key, parse(json));
    else
        json_object_del(object, key);
}

void test_edit_config(const test_path *folder, const char *key, const char *json) {
    test_path path = test_join(folder, "config.json");
    json_t *root = json_load_file(path.s, 0, NULL);
    assert_non_null(root);
    set(root, key, json);
    assert_int_equal(json_dump_file(root, path.s, JSON_COMPACT), 0);
    json_decref(root);
}

void test_edit_header(const test_path *folder, const char *tensor, const char *field, const char *json) {
    test_path path = test_join(folder, "model.safetensors");
    size_t n, length = 0;
    unsigned char *data = test_read_file(path.s, &n);
    for (int i = 7; i >= 0; i--) length = length << 8 | data[i];
    json_t *root = json_loadb((char *)data + 8, length, 0, NULL);
    assert_non_null(root);
    set(field ? json_object_get(root, tensor) : root, field ? field : tensor, json);
    char *header = json_dumps(root, JSON_COMPACT);
    assert_non_null(header);
    size_t new_length = strlen(header), total = 8 + new_length + (n - 8 - length);
    unsigned char *out = malloc(total);
    assert_non_null(out);
    for (int i = 0; i < 8; i++) out[i] = (unsigned char)(new_length >> 8 * i);
    memcpy(out + 8, header, new_length);
    memcpy(out + 8 + new_length, data + 8 + length, n - 8 - length);
    test_write_file(path.s, out, total);
    free(out);
    free(header);
    free(data);
    json_decref(root);
}

void test_edit_tensor(const test_path *folder, const char *tensor, float (*edit)(float x, size_t i)) {
    test_path path = test_join(folder, "model.safetensors");
    pm_tensors *set;
    assert_ok(pm_tensors_read(path.s, &set));
    const pm_array *a = pm_tensors_get(set, tensor);
    assert_non_null(a);
    void *data;
    pm_array copy = *a;
    assert_ok(pm_tensors_add(set, &copy, &data));
    for (size_t i = 0; i < copy.bytes / sizeof(float); i++) ((float *)data)[i] = edit(((float *)data)[i], i);
    assert_ok(pm_tensors_write(set, path.s));
    pm_tensors_free(set);
}

void test_expect_error(const test_path *folder, pm_status status, const char *const *words) {
    pm_model *m = NULL;
    pm_status s = pm_model_open(folder->s, &m);
    if (s != status)
        fail_msg("%s: status %d, expected %d (%s)", words[0], (int)s, (int)status,
                 s ? pm_error_text() : "no error");
    assert_null(m);
    for (; *words; words++)
        if (!strstr(pm_error_text(), *words))
            fail_msg("\"%s\" is not in the error: %s", *words, pm_error_text());
    if (strchr(pm_error_text(), '\n')) fail_msg("more than one line: %s", pm_error_text());
}

pm_device *test_open_device(const char *spec) {
    pm_device *d = NULL;
    return pm_device_open(spec, NULL, &d) == PM_OK ? d : NULL;
}

test_session test_open_on(pm_device *d, const char *path) {
    test_session o = {0};
    assert_ok(pm_model_open(path, &o.m));
    assert_ok(pm_session_open(o.m, d, &o.s));
    return o;
}

test_session test_open(const char *path, const char *device) {
    pm_device *d;
    assert_ok(pm_device_open(device, NULL, &d));
    test_session o = test_open_on(d, path);
    o.d = d;
    return o;
}

void test_close(test_session *o) {
    pm_session_close(o->s);
    pm_model_close(o->m);
    pm_device_close(o->d);
    *o = (test_session){0};
}

pm_device *test_need_device(const char *spec) {
    pm_device *d = test_open_device(spec);
    if (!d) skip_because("no device %s: %s", spec, pm_error_text());
    return d;
}

bool test_is_decoder(const test_session *o) {
    pm_model_info info;
    pm_model_get_info(o->m, &info);
    if (info.decoder && info.encoder_decoder && info.decoder_start_id < 0)
        assert_ok(pm_session_set_decoder_start(o->s, 1));
    return info.decoder && strcmp(info.task, "transcribe") != 0; /* which does not begin with ids */
}

void test_each_decoder(const char *spec, void (*check)(test_session *o, const char *name, const void *user),
                       const void *user) {
    pm_device *d = test_need_device(spec);
    DIR *folder = opendir(PM_SOURCE_DIR "/tests/data/reference");
    size_t n = 0;
    assert_non_null(folder);
    for (struct dirent *e = readdir(folder); e; e = readdir(folder)) {
        if (e->d_name[0] == '.' || strchr(e->d_name, '_')) continue;
        test_session o = test_open_on(d, test_reference(e->d_name, NULL).s);
        if (test_is_decoder(&o)) {
            check(&o, e->d_name, user);
            n++;
        }
        test_close(&o);
    }
    closedir(folder);
    assert_true(n >= 25);
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}
