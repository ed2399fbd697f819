/** The kernel modules that an initrd has without being told. Names have "_" for "-". */
import type { Architecture } from "../../../boot/architecture.ts";

const watchdogsOf: Record<Architecture, readonly string[]> = {
  "x86-64": ["iTCO_wdt", "lpc_ich", "i2c_i801", "sp5100_tco"],
  arm64: ["sbsa_gwdt", "sp805_wdt"],
};

/** What finds the disks of most machines. */
export const diskModules: readonly string[] = [
  ...["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "nvme", "ahci", "sd_mod"],
  ...["xhci_pci", "ehci_pci", "usb_storage", "uas", "mmc_block", "sdhci_pci", "sdhci_acpi"],
];

/** What slots and data are made of. */
export const filesystemModules: readonly string[] = ["erofs", "overlay", "ext4", "xfs", "btrfs"];

/** The usual ones. */
export function watchdogModules(architecture: Architecture): string[] {
  return ["i6300esb", "wdat_wdt", ...watchdogsOf[architecture]];
}

/** Loaded when something asks for them. */
export function defaultModules(architecture: Architecture): string[] {
  return [...diskModules, ...filesystemModules, ...watchdogModules(architecture)];
}

/**
 * Boards that a device tree describes: their disks' controllers, and what those wait for before they start (the bus and the
 * regulator that power a card, a PHY, a reset line). No symbol ties these to each other, so that no dependency of a module names
 * them. Which of them are modules is each kernel's choice: one that has them not is no reason to say so.
 */
export const boardModules: Record<Architecture, readonly string[]> = {
  "x86-64": [],
  arm64: [
    ...["bcm2835", "sdhci_iproc", "dw_mmc_pltfm", "dw_mmc_k3", "dw_mmc_rockchip", "sdhci_of_arasan", "sdhci_of_dwcmshc"],
    ...["sdhci_of_esdhc", "sdhci_esdhc_imx", "sdhci_msm", "sdhci_tegra", "sdhci_xenon_driver", "sdhci_am654", "sdhci_f_sdh30"],
    ...["meson_gx_mmc", "sunxi_mmc", "renesas_sdhi_internal_dmac", "armmmci", "mtk_sd"],
    ...["ahci_platform", "ahci_ceva", "ahci_dwc", "ahci_mvebu", "ahci_qoriq", "ahci_seattle", "ahci_tegra", "ahci_xgene"],
    ...["ufshcd_pci", "ufshcd_pltfrm", "ufs_qcom"],
    ...["pcie_brcmstb", "pcie_rockchip_host", "pcie_kirin", "pci_meson", "pci_imx6", "pcie_mediatek_gen3", "pcie_tegra194"],
    ...["xhci_plat_hcd", "xhci_tegra", "ehci_platform", "ehci_orion", "ohci_platform", "dwc2", "dwc3", "dwc3_of_simple"],
    ...["dwc3_am62", "dwc3_imx8mp", "dwc3_keystone", "dwc3_meson_g12a", "dwc3_qcom", "dwc3_xilinx", "ci_hdrc_imx", "ci_hdrc_msm"],
    ...["phy_generic", "phy_fsl_imx8mq_usb", "phy_fsl_imx8m_pcie", "phy_hi6220_usb", "phy_mvebu_a3700_comphy"],
    ...["phy_mvebu_a3700_utmi", "phy_mvebu_cp110_comphy", "phy_qcom_qmp_combo", "phy_qcom_qmp_pcie", "phy_qcom_qmp_ufs"],
    ...["phy_qcom_qmp_usb", "phy_qcom_qusb2", "phy_rcar_gen3_usb2", "phy_rockchip_emmc", "phy_rockchip_inno_usb2"],
    ...["phy_rockchip_naneng_combphy", "phy_rockchip_pcie", "phy_rockchip_snps_pcie3", "phy_rockchip_typec", "phy_rockchip_usb"],
    ...["phy_rockchip_usbdp", "phy_rockchip_samsung_hdptx", "phy_sun4i_usb", "phy_tegra_xusb", "phy_xgene", "phy_zynqmp"],
    ...["fixed", "gpio_regulator", "pwm_regulator", "vctrl_regulator", "axp20x_regulator", "bd718x7_regulator", "fan53555"],
    ...["hi655x_regulator", "max77620_regulator", "mp8859", "pca9450_regulator", "pfuze100_regulator", "rk808_regulator"],
    ...["qcom_rpmh_regulator", "qcom_smd_regulator", "qcom_spmi_regulator"],
    ...["axp20x_i2c", "axp20x_rsb", "hi655x_pmic", "rohm_bd718x7", "rk8xx_i2c", "rk8xx_spi", "qcom_spmi_pmic"],
    ...["i2c_bcm2835", "i2c_designware_platform", "i2c_gpio", "i2c_imx", "i2c_imx_lpi2c", "i2c_meson", "i2c_mv64xxx", "i2c_pxa"],
    ...["i2c_qcom_geni", "i2c_qup", "i2c_rk3x", "i2c_tegra", "i2c_xgene_slimpro"],
    ...["gpio_rcar", "gpio_xgene_sb", "gpio_zynq", "pinctrl_axp209", "io_domain", "reset_imx7", "reset_raspberrypi"],
    ...["arm_mhu", "arm_scpi", "clk_scpi", "scpi_pm_domain", "imx_mailbox", "bam_dma", "imx_interconnect", "imx8mq_interconnect"],
    ...[
      "bcm2835_wdt",
      "dw_wdt",
      "sunxi_wdt",
      "imx2_wdt",
      "meson_gxbb_wdt",
      "qcom_wdt",
      "rti_wdt",
      "armada_37xx_wdt",
      "tegra_wdt",
    ],
  ],
};

/**
 * What kernels of some distributions have as modules, then network adapters of embedded boards, small servers and virtual machines, on buses and on USB; loaded in a recovery only. The
 * large ones of data centres (mlx5, ice) are to be named.
 */
export const networkModules: readonly string[] = [
  ...["af_packet", "ipv6"],
  ...["virtio_net", "vmxnet3", "hv_netvsc", "xen_netfront", "ena", "gve"],
  ...["e1000", "e1000e", "igb", "igc", "r8169", "8139cp", "8139too", "tg3", "sky2", "alx", "atl1c", "atlantic", "lan743x"],
  ...["fec", "macb", "genet", "mdio_bcm_unimac", "stmmac_pci", "stmmac_platform", "dwmac_generic", "dwmac_rk", "dwmac_sun8i"],
  ...["dwmac_imx", "dwmac_meson8b", "mvneta", "mvpp2", "cpsw", "ti_am65_cpsw_nuss", "ravb", "xgmac", "xgene_enet"],
  ...["cdc_ether", "cdc_ncm", "r8152", "asix", "ax88179_178a", "smsc75xx", "smsc95xx", "lan78xx"],
  ...["realtek", "micrel", "broadcom", "marvell", "at803x", "smsc", "dp83867", "dp83822", "motorcomm"],
];

/** Sticks, cards and discs: the filesystems that they have, with their tables of letters, and optical drives. */
export const mediaModules: readonly string[] = [
  ...["sr_mod", "vfat", "isofs", "nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859_1"],
  ...["xhci_pci", "xhci_plat_hcd", "ehci_pci", "ehci_platform", "uhci_hcd", "ohci_pci", "ohci_platform", "dwc2", "dwc3"],
  ...["usb_storage", "uas"],
];

/** Filesystems that a bootloader's files lie on, and a file that asks for a recovery. */
export const loaderModules: readonly string[] = ["vfat", "ext4", "nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859_1"];

/** preinit cannot do without them. */
export const preinitModules: readonly string[] = ["loop", "squashfs"];

/**
 * What dm-verity is made of: loaded where a slot holds a sealed image, and there whatever modules were named, since a machine that
 * trusts signed images only boots nothing without. Newer kernels compute SHA-256 without a module of its own.
 */
export const proofModules: readonly string[] = ["dm_verity", "sha256_generic", "sha256_ssse3", "sha256_arm64", "sha2_ce"];
