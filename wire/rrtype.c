#include "wire/rrtype.h"

bool rrtype_compresses(uint16_t type, unsigned *skip, unsigned *names)
{
    *skip = 0;
    *names = 1;
    switch (type) {
    case TYPE_NS: case TYPE_MD: case TYPE_MF: case TYPE_CNAME: case TYPE_MB: case TYPE_MG: case TYPE_MR: case TYPE_PTR:
        return true;
    case TYPE_SOA: case TYPE_MINFO:
        *names = 2;
        return true;
    case TYPE_MX:
        *skip = 2;
        return true;
    default:
        *names = 0;
        return false;
    }
}

bool rrtype_shape(uint16_t type, struct rdata_shape *out)
{
    enum { RP = 17, AFSDB = 18, RT = 21, SIG = 24, PX = 26, KX = 36 };
    unsigned skip, names;
    if (rrtype_compresses(type, &skip, &names)) {
        *out = (struct rdata_shape){ (uint8_t)skip, 0, (uint8_t)names };
        return true;
    }
    switch (type) {
    case TYPE_DNAME:
        *out = (struct rdata_shape){ 0, 0, 1 };
        return true;
    case RP:
        *out = (struct rdata_shape){ 0, 0, 2 };
        return true;
    case AFSDB: case RT: case KX:
        *out = (struct rdata_shape){ 2, 0, 1 };
        return true;
    case PX:
        *out = (struct rdata_shape){ 2, 0, 2 };
        return true;
    case TYPE_SRV:
        *out = (struct rdata_shape){ 6, 0, 1 };
        return true;
    case TYPE_NAPTR:
        *out = (struct rdata_shape){ 4, 3, 1 };
        return true;
    case SIG: case TYPE_RRSIG:
        *out = (struct rdata_shape){ 18, 0, 1 };
        return true;
    default:
        *out = (struct rdata_shape){ 0, 0, 0 };
        return false;
    }
}
