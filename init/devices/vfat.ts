/** The character sets of vfat, which the kernel cannot ask for by itself where no modprobe is. */
export const VFAT_NEEDS = ["nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859_1"];
