/* In the place of the file of this name that comes with mypyc.
 *
 * Compiled code takes its buffers of bytes from librt.strings. mypyc's own file imports that module
 * at run time, from a package of PyPI; this one links in the source of the module, which comes with
 * mypyc too, so that the compiled wheel needs nothing but Python.
 */
#include "strings/librt_strings_api.h"

#define PyInit_strings uds_dist_init_strings /* not to be found by a name that others use */
#include "strings/librt_strings.c"
#undef PyInit_strings

void *LibRTStrings_API[LIBRT_STRINGS_API_LEN] = {0};

int
import_librt_strings(void)
{
    PyObject *module, *capsule;
    void **api = NULL;

    if (LibRTStrings_API[0] != NULL) {
        return 0; /* another module of the package was here before */
    }
    module = PyModule_New("uds_dist._strings");
    if (module == NULL) {
        return -1;
    }
    if (librt_strings_module_exec(module) == 0) {
        capsule = PyObject_GetAttrString(module, "_C_API");
        if (capsule != NULL) {
            api = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule));
            Py_DECREF(capsule);
        }
    }
    Py_DECREF(module); /* the table and the types are static */
    if (api == NULL) {
        return -1;
    }
    memcpy(LibRTStrings_API, api, sizeof(LibRTStrings_API));
    return 0;
}
