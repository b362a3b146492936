cdef const char* register_vfs(void* library)
