/* The network of an address. os_posix.c and os_windows.c include the socket headers of their system
   before this file. */
#ifndef OS_NETWORK_H
#define OS_NETWORK_H

/* See os_peer_network(). */
static bool network_of(const struct sockaddr *address, uint8_t network[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    memset(network, 0, 16);
    if (address->sa_family == AF_INET) {
        memcpy(&four, address, sizeof four);
        memcpy(network, mapped, sizeof mapped);
        memcpy(network + sizeof mapped, &four.sin_addr, 4);
        return true;
    }
    if (address->sa_family != AF_INET6) return false;
    memcpy(&six, address, sizeof six);
    const uint8_t *bytes = (const uint8_t *)&six.sin6_addr;
    memcpy(network, bytes, memcmp(bytes, mapped, sizeof mapped) ? 8 : 16);
    return true;
}

#endif
