/* Creates and destroys the instance; asks which layers and extensions there are. Never asks for more than it uses. */
#include "runtime/vulkan/vk_instance.h"

#include <string.h>

#define VALIDATION_LAYER "VK_LAYER_KHRONOS_validation"

typedef struct instance_wishes {
    const char *extensions[4];
    uint32_t n_extensions;
    VkInstanceCreateFlags flags;
    bool validation_features, debug_utils;
} instance_wishes;

/* Whether the loader (layer NULL) or a layer has the instance extension. */
static bool has_extension(const char *layer, const char *name) {
    uint32_t n = 0;
    bool found = false;
    if (vkEnumerateInstanceExtensionProperties(layer, &n, NULL) != VK_SUCCESS || n == 0) return false;
    VkExtensionProperties *list = pm_calloc(n, sizeof *list);
    if (!list) return false;
    VkResult r = vkEnumerateInstanceExtensionProperties(layer, &n, list);
    for (uint32_t i = 0; (r == VK_SUCCESS || r == VK_INCOMPLETE) && i < n; i++)
        found = found || !strcmp(list[i].extensionName, name);
    pm_free(list);
    return found;
}

static bool has_layer(const char *name) {
    uint32_t n = 0;
    bool found = false;
    if (vkEnumerateInstanceLayerProperties(&n, NULL) != VK_SUCCESS || n == 0) return false;
    VkLayerProperties *list = pm_calloc(n, sizeof *list);
    if (!list) return false;
    VkResult r = vkEnumerateInstanceLayerProperties(&n, list);
    for (uint32_t i = 0; (r == VK_SUCCESS || r == VK_INCOMPLETE) && i < n; i++)
        found = found || !strcmp(list[i].layerName, name);
    pm_free(list);
    return found;
}

static instance_wishes choose_extensions(bool validate) {
    instance_wishes w = {0};
    w.debug_utils = has_extension(NULL, VK_EXT_DEBUG_UTILS_EXTENSION_NAME) ||
                    (validate && has_extension(VALIDATION_LAYER, VK_EXT_DEBUG_UTILS_EXTENSION_NAME));
    if (w.debug_utils) w.extensions[w.n_extensions++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    if (has_extension(NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        w.extensions[w.n_extensions++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        w.flags = VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR; /* else such drivers are hidden */
    }
    w.validation_features = validate && has_extension(VALIDATION_LAYER, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);
    if (w.validation_features) w.extensions[w.n_extensions++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
    return w;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL collect(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                              VkDebugUtilsMessageTypeFlagsEXT types,
                                              const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    pm_executor *ex = user;
    (void)types;
    ex->stats.n_messages++;
    pm_text_add(&ex->messages, "%s: %s\n",
                severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT ? "error" : "warning", data->pMessage);
    return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_info(pm_executor *ex) {
    return (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT, /* the loader's and performance talk is no fault */
        .pfnUserCallback = collect,
        .pUserData = ex,
    };
}

static void load_functions(pm_vk_instance *i) {
#define F(name) i->name = (PFN_vk##name)vkGetInstanceProcAddr(i->handle, "vk" #name);
    PM_VK_INSTANCE_FUNCTIONS(F)
    PM_VK_DEBUG_FUNCTIONS(F)
#undef F
}

static pm_status raise_failed(VkResult r) {
    if (r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        return pm_raise(PM_ERR_MEMORY, "Vulkan: out of memory when an instance was created");
    if (r == VK_ERROR_INCOMPATIBLE_DRIVER) return pm_raise(PM_ERR_DEVICE, "Vulkan: no driver on this machine");
    return pm_raise(PM_ERR_DEVICE, "Vulkan: the instance could not be created (VkResult %d)", (int)r);
}

static pm_status check_loader(bool validate) {
    if (!pm_vk_loader_start())
        return pm_raise(PM_ERR_DEVICE, "Vulkan: no Vulkan loader (libvulkan.so.1) on this machine");
    if (pm_vk_loader_version() < VK_API_VERSION_1_1)
        return pm_raise(PM_ERR_DEVICE, "Vulkan: the loader speaks version 1.0, expected 1.1 or later");
    if (validate && !has_layer(VALIDATION_LAYER))
        return pm_raise(PM_ERR_DEVICE, "Vulkan: validation was asked for, but the layer " VALIDATION_LAYER
                                       " is not on this machine");
    return PM_OK;
}

pm_status pm_vk_instance_create(pm_executor *validated, pm_vk_instance *out) {
    *out = (pm_vk_instance){0};
    PM_TRY(check_loader(validated != NULL));
    instance_wishes w = choose_extensions(validated != NULL);
    uint32_t version = pm_vk_loader_version();
    out->api_version = version < VK_API_VERSION_1_3 ? VK_MAKE_API_VERSION(0, 1, VK_API_VERSION_MINOR(version), 0)
                                                    : VK_API_VERSION_1_3;
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                     .pApplicationName = "pumice",
                                     .pEngineName = "pumice",
                                     .apiVersion = out->api_version};
    VkValidationFeatureEnableEXT synchronization = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(validated);
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                        .pNext = &messenger,
                                        .enabledValidationFeatureCount = 1,
                                        .pEnabledValidationFeatures = &synchronization};
    const char *layer = VALIDATION_LAYER;
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = !validated ? NULL : w.validation_features ? (void *)&features : (void *)&messenger,
        .flags = w.flags,
        .pApplicationInfo = &application,
        .enabledLayerCount = validated ? 1 : 0,
        .ppEnabledLayerNames = &layer,
        .enabledExtensionCount = w.n_extensions,
        .ppEnabledExtensionNames = w.extensions,
    };
    VkResult r = vkCreateInstance(&info, NULL, &out->handle);
    if (r != VK_SUCCESS) {
        *out = (pm_vk_instance){0};
        return raise_failed(r);
    }
    load_functions(out);
    if (validated && out->CreateDebugUtilsMessengerEXT)
        r = out->CreateDebugUtilsMessengerEXT(out->handle, &messenger, NULL, &out->messenger);
    if (r != VK_SUCCESS) {
        pm_vk_instance_destroy(out);
        return raise_failed(r);
    }
    return PM_OK;
}

void pm_vk_instance_destroy(pm_vk_instance *i) {
    if (i->messenger) i->DestroyDebugUtilsMessengerEXT(i->handle, i->messenger, NULL);
    if (i->handle) i->DestroyInstance(i->handle, NULL);
    *i = (pm_vk_instance){0};
}

pm_status pm_vk_instance_devices(const pm_vk_instance *i, VkPhysicalDevice **out, uint32_t *out_n) {
    uint32_t n = 0;
    *out = NULL;
    *out_n = 0;
    VkResult r = i->EnumeratePhysicalDevices(i->handle, &n, NULL);
    if (r != VK_SUCCESS) return pm_raise(PM_ERR_DEVICE, "Vulkan: devices could not be listed (VkResult %d)", (int)r);
    VkPhysicalDevice *list = pm_calloc(n, sizeof *list);
    if (!list) return PM_ERR_MEMORY;
    r = i->EnumeratePhysicalDevices(i->handle, &n, list);
    if (r != VK_SUCCESS && r != VK_INCOMPLETE) {
        pm_free(list);
        return pm_raise(PM_ERR_DEVICE, "Vulkan: devices could not be listed (VkResult %d)", (int)r);
    }
    *out = list;
    *out_n = n;
    return PM_OK;
}
