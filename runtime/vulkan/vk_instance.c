/* The instance, and with `validate` the Khronos validation layer with synchronization validation; its
 * warnings and errors are appended to the executor's messages. Never prints. */
#include "runtime/vulkan/vk.h"

#include <string.h>

#define VALIDATION "VK_LAYER_KHRONOS_validation"

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data,
                                                 void *user) {
    (void)types; /* only validation is asked for */
    pm_executor *ex = user;
    ex->stats.n_messages++;
    bool error = severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    pm_text_add(&ex->messages, "%s: %s\n", error ? "error" : "warning", data->pMessage ? data->pMessage : "");
    return VK_FALSE;
}

static pm_status find_layer(const char *name, bool *out) {
    uint32_t n = 0;
    *out = false;
    VK_TRY(vkEnumerateInstanceLayerProperties(&n, NULL), "list layers");
    VkLayerProperties *all = pm_calloc(n, sizeof *all);
    if (!all) return PM_ERR_MEMORY;
    VkResult r = vkEnumerateInstanceLayerProperties(&n, all);
    for (uint32_t i = 0; r >= VK_SUCCESS && i < n; i++) *out |= strcmp(all[i].layerName, name) == 0;
    pm_free(all);
    return pm_vk_check(r == VK_INCOMPLETE ? VK_SUCCESS : r, "list layers");
}

static pm_status find_extension(const char *name, bool *out) {
    uint32_t n = 0;
    *out = false;
    VK_TRY(vkEnumerateInstanceExtensionProperties(NULL, &n, NULL), "list instance extensions");
    VkExtensionProperties *all = pm_calloc(n, sizeof *all);
    if (!all) return PM_ERR_MEMORY;
    VkResult r = vkEnumerateInstanceExtensionProperties(NULL, &n, all);
    for (uint32_t i = 0; r >= VK_SUCCESS && i < n; i++) *out |= strcmp(all[i].extensionName, name) == 0;
    pm_free(all);
    return pm_vk_check(r == VK_INCOMPLETE ? VK_SUCCESS : r, "list instance extensions");
}

static void load_functions(pm_vk_instance *in) {
#define PM_VK_FN(name) in->name = (PFN_##name)vkGetInstanceProcAddr(in->handle, #name);
    PM_VK_INSTANCE_FNS(PM_VK_FN)
#undef PM_VK_FN
}

static const VkValidationFeatureEnableEXT enables[] = {
    VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
static const char *const layers[] = {VALIDATION};

pm_status pm_vk_instance_create(bool validate, pm_executor *ex, pm_vk_instance *out) {
    *out = (pm_vk_instance){0};
    bool layer = false, portability = false;
    if (validate) PM_TRY(find_layer(VALIDATION, &layer));
    if (validate && !layer)
        return pm_raise(PM_ERR_DEVICE, "validation: the layer %s is not installed on this machine",
                        VALIDATION);
    const VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = ex};
    const VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                              .pNext = &messenger,
                                              .enabledValidationFeatureCount = PM_COUNT(enables),
                                              .pEnabledValidationFeatures = enables};
    const char *extensions[3];
    uint32_t n = 0;
    PM_TRY(find_extension(VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME, &portability));
    if (portability) extensions[n++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
    if (validate) { /* the layer itself provides both */
        extensions[n++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        extensions[n++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
    }
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .pApplicationName = "pumice",
                                           .apiVersion = VK_API_VERSION_1_3};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pNext = validate ? &features : NULL,
                                       .flags =
                                           portability ? VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR : 0,
                                       .pApplicationInfo = &application,
                                       .enabledLayerCount = validate ? PM_COUNT(layers) : 0,
                                       .ppEnabledLayerNames = layers,
                                       .enabledExtensionCount = n,
                                       .ppEnabledExtensionNames = extensions};
    VkResult r = vkCreateInstance(&info, NULL, &out->handle);
    if (r != VK_SUCCESS) /* whichever: the device cannot be had, and other executors can */
        return pm_raise(PM_ERR_DEVICE, "vkCreateInstance: %s", pm_vk_result_name(r));
    load_functions(out);
    out->debug_utils = validate;
    if (!validate) return PM_OK;
    pm_status s =
        pm_vk_check(out->vkCreateDebugUtilsMessengerEXT(out->handle, &messenger, NULL, &out->messenger),
                    "vkCreateDebugUtilsMessengerEXT");
    if (s != PM_OK) pm_vk_instance_destroy(out);
    return s;
}

void pm_vk_messenger_destroy(pm_vk_instance *in) {
    if (in->messenger) in->vkDestroyDebugUtilsMessengerEXT(in->handle, in->messenger, NULL);
    in->messenger = VK_NULL_HANDLE;
}

void pm_vk_instance_destroy(pm_vk_instance *in) {
    if (!in->handle) return;
    pm_vk_messenger_destroy(in);
    in->vkDestroyInstance(in->handle, NULL);
    *in = (pm_vk_instance){0};
}
